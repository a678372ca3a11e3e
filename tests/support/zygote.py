"""The real command line, in processes that are forked from one which has imported it already.

A test runs tens of commands; to import agentctl anew for each takes longer than most of them. One such process serves
one thread of the tests: `run` has it fork, and the child becomes what `python -m agentctl` would be, with its own
environment, folder and standard streams.
"""

import atexit
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading

_mine = threading.local()


def run(args, cwd, env, stdin, timeout):
    """As `subprocess.run` with the command line; raises TimeoutExpired."""
    words = [sys.executable, "-m", "agentctl", *map(str, args)]
    with tempfile.TemporaryFile() as into, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        into.write(stdin.encode())
        into.seek(0)
        served = _served()
        served.settimeout(timeout)
        asked = json.dumps({"argv": words, "cwd": str(cwd), "env": dict(env)}).encode()
        try:
            served.sendall(b"%d\n" % len(asked) + asked)
            socket.send_fds(served, [b"."], [stream.fileno() for stream in (into, out, err)])
            status = os.waitstatus_to_exitcode(int(served.recv(64)))
        except TimeoutError:
            os.killpg(_mine.group, signal.SIGKILL)
            del _mine.served
            raise subprocess.TimeoutExpired(words, timeout) from None
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(words, status, out.read().decode(), err.read().decode())


def _served():
    if not hasattr(_mine, "served"):
        _mine.served, theirs = socket.socketpair()
        with theirs:
            subprocess.run(
                [sys.executable, "-m", "tests.support.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in ("PATH", "LC_ALL", "PYTHONPATH") if name in os.environ},
                check=True,
                cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
            )
        _mine.group = int(_mine.served.recv(64))
    return _mine.served


def serve(number):
    """In a session of its own, and no child of the tests, some of which count theirs."""
    if os.fork():
        os._exit(0)
    os.setsid()
    import dulwich.object_store  # noqa: F401

    from agentctl.terminal.parser import root

    for name in root.list_commands(None):
        root.get_command(None, name)
    # What is here already is no garbage of any command, and looking at it would copy its pages.
    gc.collect()
    gc.freeze()
    asks = socket.socket(fileno=number)
    asks.sendall(b"%d" % os.getpid())
    while size := _line(asks):
        asked = json.loads(_exactly(asks, int(size)))
        _, streams, _, _ = socket.recv_fds(asks, 1, 3)
        child = os.fork()
        if child == 0:
            asks.close()
            become(asked, streams)
        for stream in streams:
            os.close(stream)
        asks.sendall(b"%d" % os.waitpid(child, 0)[1])


def become(asked, streams):
    """Ends as the command line does, but that what was imported is not taken apart: that takes longer than most commands."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.orig_argv, sys.argv = asked["argv"], ["agentctl", *asked["argv"][3:]]
    from agentctl.cli import main

    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)


def _line(stream):
    read = b""
    while not read.endswith(b"\n"):
        with contextlib.suppress(ConnectionResetError):
            if byte := stream.recv(1):
                read += byte
                continue
        return b""
    return read


def _exactly(stream, size):
    read = b""
    while len(read) < size:
        read += stream.recv(size - len(read))
    return read


if __name__ == "__main__":
    serve(int(sys.argv[1]))
