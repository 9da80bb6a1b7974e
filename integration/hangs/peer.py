"""
A client whose server does not answer.

usage: peer.py CONTROL recv|native|unix|connect|http|tls
"""
import socket
import urllib.request

import hang

HOW = (hang.ARGUMENTS or ["recv"])[0]


def fetch_rates(port):
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(b"rates?\n")
        hang.ready()
        return link.recv(100)


def fetch_native(port):
    """
    In C code, with the socket's own time-out: what wakes it is seen by that code.  It has no
    unwind tables either, so that whoever wants its stack has to stop it.
    """
    _, releasing = hang.library(bare=True)
    with socket.create_connection(("127.0.0.1", port)) as link:
        hang.ready()
        return bytes([max(releasing.stall_recv(link.fileno(), hang.SECONDS), 0)])


def fetch_page(port):
    hang.ready()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/rates") as answer:
        return answer.read()


def fetch_secret(port):
    import ssl
    context = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", port)) as link:
        hang.ready()
        try:
            context.wrap_socket(link, server_hostname="localhost")
        except ssl.SSLError:
            return b"no TLS"


def fetch_full():
    """The backlog of the other side is full: not even the connection comes about."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    waiting = []
    for _ in range(2):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(address)
        waiting.append(one)
    hang.fact("peer", "%s:%d" % address)
    hang.time.sleep(0.05)
    hang.on_release(lambda: (listener.accept(), listener.accept()))
    hang.ready()
    link = socket.socket()
    link.connect(address)
    return link.getpeername() == address


def fetch_local():
    """Over a unix socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(server.path)
        hang.ready()
        return link.recv(100)


ANSWERS = {"recv": (fetch_rates, b"12\n", b"12\n"),
           "native": (fetch_native, b"12\n", b"1"),
           "unix": (lambda port: fetch_local(), b"12\n", b"12\n"),
           "http": (fetch_page, b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n12\n", b"12\n"),
           "tls": (fetch_secret, b"this is not TLS\n", b"no TLS")}

if HOW == "connect":
    hang.finish(fetch_full(), True)
function, said, expected = ANSWERS[HOW]
server = hang.SilentServer(unix=HOW == "unix")
if HOW != "native":
    hang.on_release(lambda: server.speak(said))
else:
    # no signal here: it would end the wait
    hang.thread("release", lambda: (open(hang.FOLDER + "/feed", "rb").read(1), server.speak(said)))
hang.finish(function(server.port), expected)
