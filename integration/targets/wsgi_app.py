"""The web application that every WSGI server runs, and that the driver knows the answers of."""
import time


def app_leaf(number):
    return number * number % 1009


def app_compute(number):
    return sum(app_leaf(value) for value in range(number % 40 + 10))


def app_render(query):
    number = int(query.partition("=")[2] or 0)
    time.sleep(0.001)  # lets other threads in, as a database would
    return b"%d" % app_compute(number)


def application(environ, start_response):
    body = app_render(environ.get("QUERY_STRING", ""))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


app = application
