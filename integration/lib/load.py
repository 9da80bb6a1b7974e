"""A small, bounded load on 127.0.0.1; every answer is checked."""
import http.client
import socket
import threading
import time

from . import child


class Load:
    """THREADS clients that ask until told to stop; ASK(number) -> True if the answer was right."""

    def __init__(self, connect, threads=4, pause=0.002):
        self.answered, self.wrong = 0, []
        self._connect, self._pause = connect, pause
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                         for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        try:
            ask, close = self._connect()
        except OSError as error:
            self._note(f"connect: {error}")
            return
        while not self._stop.is_set():
            number += 1
            try:
                wrong = ask(number)
            except Exception as error:  # whatever it is, a request was not answered
                self._note(f"request: {error!r}")
                break
            self._note(wrong)
            time.sleep(self._pause)
        close()

    def _note(self, wrong):
        with self._lock:
            if wrong:
                self.wrong.append(wrong)
            else:
                self.answered += 1

    def wait_busy(self):
        """Every client is connected and was answered."""
        child.wait_until(lambda: self.answered >= 3 * len(self._threads) or self.wrong, "answers", 60)

    def stop(self):
        """Ends the load; returns what went wrong."""
        if not self.answered:
            self.wrong.append("no request was answered")
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if any(thread.is_alive() for thread in self._threads):
            self.wrong.append("a request was never answered")
        return self.wrong


def http_client(port, expected, path="/?n=%d", keep=True, seconds=60):
    """
    For Load: one connection, kept alive if KEEP; EXPECTED(number) is the right
    body.  With EXPECTED None the body is returned for others to judge.
    """
    def connect():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        connection.connect()

        def ask(number):
            number %= 100
            connection.request("GET", path % number)
            answer = connection.getresponse()
            body = answer.read()
            if not keep:
                connection.close()
            if expected is None:
                return body
            right = answer.status == 200 and body == expected(number)
            return "" if right else f"request {number}: {answer.status} {body[:60]!r}"
        return ask, connection.close
    return connect


def line_client(port, expected):
    """For Load: one line asked, one line answered."""
    def connect():
        link = socket.create_connection(("127.0.0.1", port), 60)
        file = link.makefile("rwb")

        def ask(number):
            file.write(b"%d\n" % number)
            file.flush()
            answer = file.readline()
            return "" if answer == b"%d\n" % expected(number) else f"{number}: {answer!r}"

        def close():
            link.close()  # the file has nothing unwritten
        return ask, close
    return connect


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port):
    """Whether something accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False
