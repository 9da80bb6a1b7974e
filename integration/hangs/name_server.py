"""
A name server that never answers.

usage: name_server.py CONTROL query|resolver
query     a question over UDP, as resolvers in Python do it
resolver  libc's resolver, with a resolv.conf that the driver put in place for this process
"""
import os
import socket

import hang

HOW = (hang.ARGUMENTS or ["query"])[0]
SERVER = "127.78.%d.%d" % divmod(os.getpid() % 50000, 250)
if HOW == "resolver":
    with open("/etc/resolv.conf") as _file:
        SERVER = _file.readline().split()[1]
QUESTION = (b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
            b"\x05rates\x07example\x00\x00\x01\x00\x01")


def silent():
    hang.time.sleep(hang.SECONDS)


def resolve_by_hand():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect((SERVER, 53))
        link.send(QUESTION)
        hang.ready()
        return link.recv(512)


def resolve():
    hang.ready()
    try:
        return socket.getaddrinfo("rates.example", 443, socket.AF_INET)
    except OSError:
        return None


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((SERVER, 53))
hang.fact("peer", SERVER)


def answer():
    question, address = server.recvfrom(512)
    server.sendto(question, address)


if HOW == "query":
    hang.on_release(answer)
    hang.finish(resolve_by_hand(), QUESTION)
resolve()
hang.finish()
