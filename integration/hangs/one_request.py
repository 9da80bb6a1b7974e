"""
A threaded server one of whose requests waits for a server that does not answer; the others are fine.

usage: one_request.py CONTROL
"""
import socket
import socketserver

import hang

server = hang.SilentServer()


def ask_upstream():
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        return link.recv(100)


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        hang.when(lambda: hang.task_state(hang.threading.main_thread().native_id) == "S")
        self.wfile.write(ask_upstream())


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


def ask(port, answer):
    """The client, a process of its own; its status tells what it got."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(b"rates?\n")
        text = link.makefile("rb").readline()
    hang.os._exit(0 if text == answer else 1)


with Server(("127.0.0.1", 0), Handler) as front:
    client = hang.fork(ask, front.server_address[1], b"late\n")

    def release():
        server.speak(b"late\n")
        hang.thread("end", lambda: (results.append(hang.os.waitpid(client, 0)[1]), front.shutdown()))

    results = []
    hang.on_release(release)
    front.serve_forever()
hang.finish(results, [0])
