"""Servers of bare repositories on loopback, as teams have them: a path, git daemon, smart http and ssh."""

from __future__ import annotations

import contextlib
import getpass
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message

HOST = "127.0.0.1"
KINDS = ("path", "daemon", "http", "ssh")
LOCKED = "locked"
"""While a file of this name is in the folder, smart http wants a login that nobody has."""


@dataclass
class Traffic:
    """What went over a server's connections; only that of http counts it."""

    requests: int = 0
    moved: int = 0
    """Bytes of all bodies, both ways."""

    def copy(self) -> Traffic:
        return Traffic(self.requests, self.moved)

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(self.requests - before.requests, self.moved - before.moved)


@dataclass(frozen=True)
class Server:
    kind: str
    base: str
    """What the address of a repository begins with; its name follows."""
    settings: tuple[str, ...] = ()
    """Settings that a client needs, as `key=value`."""
    traffic: Traffic = field(default_factory=Traffic)

    def url(self, name: str) -> str:
        return f"{self.base}/{name}"


@contextlib.contextmanager
def serving(kind: str, folder: str, nobody: bool = False) -> Iterator[Server]:
    """Serve the bare repositories in a folder, for reading and pushing by anybody here, in the context.

    With `nobody`, git daemon works with the rights of nobody.
    """
    made = {"path": _path, "http": _http, "ssh": _ssh}
    with _daemon(folder, nobody) if kind == "daemon" else made[kind](folder) as server:
        yield server


@contextlib.contextmanager
def _path(folder: str) -> Iterator[Server]:
    yield Server("path", folder)


@contextlib.contextmanager
def _daemon(folder: str, nobody: bool) -> Iterator[Server]:
    port = _free_port()
    argv = [
        "git",
        "-c",
        "safe.directory=*",
        "daemon",
        f"--base-path={folder}",
        "--export-all",
        "--enable=receive-pack",
        "--reuseaddr",
    ]
    running = subprocess.Popen(
        [*argv, f"--listen={HOST}", f"--port={port}", *(["--user=nobody"] if nobody else []), folder],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with _ended(running):
        _listens(port)
        yield Server("daemon", f"git://{HOST}:{port}")


@contextlib.contextmanager
def _ssh(folder: str) -> Iterator[Server]:
    """Run an sshd of our own, with keys of its own; skipped by the caller where there is no sshd."""
    sshd, place, port = shutil.which("sshd") or "/usr/sbin/sshd", os.path.join(folder, "sshd"), _free_port()
    os.makedirs(place, exist_ok=True)
    for name in ("host", "client"):
        if not os.path.exists(os.path.join(place, name)):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(place, name)], check=True)
    shutil.copy(os.path.join(place, "client.pub"), os.path.join(place, "authorized"))
    with contextlib.suppress(OSError):
        os.makedirs("/run/sshd", exist_ok=True)
    options = {
        "ListenAddress": HOST,
        "Port": port,
        "HostKey": os.path.join(place, "host"),
        "AuthorizedKeysFile": os.path.join(place, "authorized"),
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "MaxStartups": "500",
        "PasswordAuthentication": "no",
    }
    with open(os.path.join(place, "config"), "w") as file:
        file.writelines(f"{key} {value}\n" for key, value in options.items())
    running = subprocess.Popen(
        [sshd, "-D", "-f", os.path.join(place, "config")], stderr=subprocess.DEVNULL, start_new_session=True
    )
    with open(os.path.join(place, "host.pub")) as key, open(os.path.join(place, "known"), "w") as known:
        known.write(f"[{HOST}]:{port} {key.read()}")
    call = f"ssh -i {place}/client -o IdentitiesOnly=yes -o UserKnownHostsFile={place}/known -o LogLevel=ERROR"
    with _ended(running):
        _listens(port)
        base = f"ssh://{getpass.getuser()}@{HOST}:{port}{folder}"
        yield Server("ssh", base, (f"core.sshCommand={call} -o BatchMode=yes",))


@contextlib.contextmanager
def _http(folder: str) -> Iterator[Server]:
    """Answer smart http by Git's own http-backend, each request in a thread."""

    class Handler(_Backend):
        root, traffic = folder, Traffic()

    server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Server("http", f"http://{HOST}:{server.server_address[1]}", traffic=Handler.traffic)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root = ""
    traffic: Traffic

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body(self.headers))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self, headers: Message) -> bytes:
        if headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: bytes) -> None:
        if os.path.exists(os.path.join(self.root, LOCKED)):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="hub"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        path, _, query = self.path.partition("?")
        given = {
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": HOST,
            "REMOTE_USER": "team",
        }
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        done = subprocess.run(["git", "http-backend"], input=body, env=kept | given, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.traffic.requests += 1
        self.traffic.moved += len(body) + len(content)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for key, value in fields.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def _ended(running: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        running.terminate()
        running.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def _listens(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody listens at {HOST}:{port}")
        time.sleep(0.05)
