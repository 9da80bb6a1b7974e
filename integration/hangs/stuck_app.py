"""A WSGI application whose handler asks a server that does not answer: for gunicorn, one sync worker."""
import os
import socket


def ask_upstream():
    with socket.create_connection(("127.0.0.1", int(os.environ["UPSTREAM"]))) as link:
        link.sendall(b"rates?\n")
        return link.recv(100)


def app(environ, start_response):
    body = ask_upstream()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
