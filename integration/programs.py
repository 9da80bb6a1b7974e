"""
Real programs, attached while they answer: gunicorn, gevent, uWSGI, Apache mod_wsgi, PostgreSQL.

usage: programs.py [NAME...]
Each is an instance of its own, on 127.0.0.1, with its own folder, and ended at the end.
"""
import glob
import os
import pwd
import re
import shutil
import subprocess
import sys

from lib import board, child, load, procfs, pythons, target, tool, trace, where

WEB = ("app_leaf", "app_compute", "app_render", "application")


def need(cell, *programs):
    for name in programs:
        if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise board.Skip("no " + name)
    return cell


def copy_app(folder):
    """The application in a folder that any user can read."""
    shutil.copy(where.TARGETS / "wsgi_app.py", folder)
    return folder


def expected(number):
    return b"%d" % target.function("wsgi_app", "app_compute")(number)


def wait_port(server, port):
    child.wait_until(lambda: load.answers(port) or not server.alive(), "the server answers", 60)
    if not server.alive():
        raise RuntimeError("the server ended: " + (server.stdout() + server.stderr())[-2000:])


def running_python(pids):
    """Those processes that have CPython in them."""
    return [pid for pid in pids
            if any("python3" in one.path and "x" in one.perms for one in procfs.maps(pid))]


def attach(cell, pid, folder, names, clients, duration="1500ms", sockets=True,
           threads=True):
    """Record one process of a program under load; it must be as before, and nobody may notice."""
    before = procfs.Snapshot(pid)
    run = tool.record(pid, folder, duration)
    cell.equal(run.status, 0, "exit status (" + run.messages().strip()[-400:] + ")")
    if run.status == 0:
        cell.equal(run.receipt().get("restored"), True,
                   f"receipt.restored ({run.receipt().get('left')})")
        cell.equal(run.receipt().get("lost"), 0, "receipt.lost")
        found = trace.report(run.path)
        cell.none([name for name in names if name not in found], "not in the trace")
    answered = clients.answered
    child.wait_until(lambda: clients.answered > answered + 20 or clients.wrong, "answers after", 60)
    trace.wait_restored(cell, before, lambda: procfs.Snapshot(pid), lambda old, new:
                        procfs.differences(old, new, sockets=sockets, threads=threads))


def web(cell, server, port, folder, pids, names=WEB, sockets=True, threads=True):
    """Load, attach to each of the processes, check."""
    wait_port(server, port)
    clients = load.Load(load.http_client(port, expected, keep=sockets), threads=4)
    try:
        clients.wait_busy()
        found = pids()
        cell.need(found, "no process to attach to")
        for pid in found:
            place = folder / str(pid)
            place.mkdir()
            attach(cell, pid, place, names, clients, sockets=sockets, threads=threads)
    finally:
        cell.none(clients.stop(), "answers")
    cell.check(server.alive(), "the server ended: " + server.stderr()[-500:])


def gunicorn(cell, folder, *options, threads=True):
    need(cell, "gunicorn")
    port = load.free_port()
    with child.Child(["gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "--keep-alive", "60", *options,
                      "wsgi_app:app"], folder, name="gunicorn", cwd=copy_app(folder)) as server:
        web(cell, server, port, folder, lambda: procfs.children(server.pid), threads=threads)
        server.end(gently=20)


def gunicorn_threads(cell, folder):
    gunicorn(cell, folder, "-k", "gthread", "--threads", "4", threads=False)  # its pool grows when it likes


def gunicorn_gevent(cell, folder):
    if "gevent" not in (pythons.system() or pythons.Python(*[()] * 5)).modules:
        raise board.Skip("no gevent")
    gunicorn(cell, folder, "-k", "gevent")


def uwsgi(cell, folder):
    need(cell, "uwsgi")
    port = load.free_port()
    options = {"plugin": "python3", "http-socket": f"127.0.0.1:{port}", "wsgi-file": "wsgi_app.py",
               "callable": "app", "processes": "2", "threads": "2"}
    argv = ["uwsgi", "--die-on-term", "--need-app", "--master"]
    argv += [f"--{key}={value}" for key, value in options.items()]
    with child.Child(argv, folder, name="uwsgi", cwd=copy_app(folder)) as server:
        # the master only watches; each worker serves
        web(cell, server, port, folder, lambda: procfs.children(server.pid), sockets=False)
        server.end(gently=20)


def modules_folder():
    """Where Apache's modules are."""
    for folder in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"):
        if os.path.exists(folder + "/mod_wsgi.so"):
            return folder
    raise board.Skip("no mod_wsgi")


def apache(cell, folder):
    """The application lives in a subinterpreter of an embedded libpython, in a process of another user."""
    need(cell, "apache2")
    modules, port = modules_folder(), load.free_port()
    copy_app(folder)
    user = "www-data" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    lines = [f"ServerRoot {folder}", f"PidFile {folder}/pid", f"ErrorLog {folder}/error.log",
             f"Mutex file:{folder} default", f"Listen 127.0.0.1:{port}", "ServerName localhost",
             f"User {user}", f"Group {user}", "KeepAlive On", "MaxKeepAliveRequests 0",
             "KeepAliveTimeout 60", "StartServers 1", "ServerLimit 1", "ThreadsPerChild 8",
             "MaxRequestWorkers 8", "MinSpareThreads 1", "MaxSpareThreads 8",
             f"WSGIScriptAlias / {folder}/wsgi_app.py", f"<Directory {folder}>", "Require all granted",
             "</Directory>"]
    for name, file in (("mpm_event", "mod_mpm_event"), ("authz_core", "mod_authz_core"),
                       ("wsgi", "mod_wsgi")):
        lines.insert(0, f"LoadModule {name}_module {modules}/{file}.so")
    (folder / "apache.conf").write_text("\n".join(reversed(lines[:3])) + "\n"
                                        + "\n".join(lines[3:]) + "\n")
    program = shutil.which("apache2", path=os.environ["PATH"] + ":/usr/sbin")
    with child.Child([program, "-f", folder / "apache.conf", "-DFOREGROUND"], folder,
                     name="apache") as server:
        web(cell, server, port, folder, lambda: running_python(procfs.children(server.pid)),
            names=WEB)
        server.end(gently=2)


def postgres_folder():
    found = sorted(os.path.dirname(one) for one in glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found or os.getuid() != 0:
        raise board.Skip("no PostgreSQL" if not found else "needs root to become postgres")
    return found[-1]


class Postgres:
    """A database of our own, and one session in it."""

    def __init__(self, folder):
        self.binaries, self.folder = postgres_folder(), folder
        self.who = pwd.getpwnam("postgres")
        self.data = folder / "data"
        os.chown(folder, self.who.pw_uid, self.who.pw_gid)
        self.run("initdb", "-D", str(self.data), "-A", "trust", "--no-sync", "-E", "UTF8",
                 "--locale=C")
        self.port = load.free_port()
        self.server = child.Child(
            [f"{self.binaries}/postgres", "-D", self.data, "-k", folder, "-h", "127.0.0.1",
             "-p", self.port], folder, name="postgres", user="postgres")
        wait_port(self.server, self.port)
        # it listens before it takes sessions
        child.wait_until(self.takes_sessions, "the database takes sessions", 60, 0.1)

    def takes_sessions(self):
        try:
            self.run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-d", "postgres", "-c", "")
        except RuntimeError:
            return False
        return True

    def run(self, program, *arguments, text=None):
        result = subprocess.run(
            ["setpriv", f"--reuid={self.who.pw_uid}", f"--regid={self.who.pw_gid}",
             "--clear-groups", f"{self.binaries}/{program}", *arguments], input=text, timeout=120,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder)
        if result.returncode:
            raise RuntimeError(f"{program}: {result.stderr[-1000:]}")
        return result.stdout

    def session(self):
        """A psql that takes statements one by one."""
        return subprocess.Popen(
            [f"{self.binaries}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
             "-d", "postgres", "-At", "-X", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1, cwd=self.folder)


class Statements:
    """The load: one session that calls the function all the time, and compares."""

    CALLS = 200

    def __init__(self, session):
        self.session = session
        self.answered, self.wrong = 0, []
        self._loads = None

    def ask(self, statement):
        self.session.stdin.write(statement + "\n")
        self.session.stdin.flush()
        return self.session.stdout.readline().strip()

    def start(self):
        right = str(sum(number * number % 1009 for number in range(1, self.CALLS + 1)))
        statement = f"select sum(vz_square(i)) from generate_series(1, {self.CALLS}) i;"

        def connect():
            return (lambda number: "" if self.ask(statement) == right else "wrong sum"), lambda: None
        return load.Load(connect, threads=1)


def postgres(cell, folder):
    """libpython is loaded late, by a process of another user; it runs only when asked to."""
    server = Postgres(folder)
    try:
        server.run("psql", "-h", "127.0.0.1", "-p", str(server.port), "-d", "postgres", "-q", text="""
            create extension plpython3u;
            create function vz_square(number int) returns int language plpython3u as $$
            def square(value):
                return value * value % 1009
            return square(number)
            $$;""")
        session = server.session()
        statements = Statements(session)
        pid = int(statements.ask("select pg_backend_pid();"))
        cell.equal(statements.ask("select vz_square(3);"), "9", "answer")
        clients = statements.start()
        try:
            clients.wait_busy()
            attach(cell, pid, folder, ("square",), clients)
        finally:
            cell.none(clients.stop(), "answers")
        cell.equal(statements.ask("select vz_square(5);"), "25", "answer after")
        session.stdin.close()
        cell.equal(session.wait(60), 0, "psql's exit status")
        cell.check(not re.search(r"terminated by signal|PANIC", server.server.stderr()),
                   "the server's log: " + server.server.stderr()[-800:])
    finally:
        server.server.end(gently=20)


PROGRAMS = [("gunicorn-gthread", gunicorn_threads), ("gunicorn-gevent", gunicorn_gevent),
            ("uwsgi", uwsgi), ("apache-mod-wsgi", apache), ("postgresql-plpython", postgres)]


def run(wanted=()):
    result = board.Board("programs")
    for name, function in PROGRAMS:
        if not wanted or name in wanted:
            result.run(name, "debian", function, where.fresh(name))
            child.end_all()
    result.table()
    return result


if __name__ == "__main__":
    sys.exit(board.finish([run(sys.argv[1:])]))
