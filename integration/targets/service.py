"""A threaded HTTP service of the standard library, without any framework."""
import http.server
import threading

import ctl
import wsgi_app


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = wsgi_app.app_render(self.path.partition("?")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    server = Server(("127.0.0.1", 0), Handler)
    ctl.control.put(ctl.AUX, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    ctl.ready()
    while not ctl.quitting():
        thread.join(0.05)
        ctl.tick()
    server.shutdown()
    thread.join()
    ctl.finish()


main()
