"""Runs of Git's own binary: closed off from whatever could change their meaning, or as the user would run it."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TypedDict, Unpack

from agentctl import signals
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, DiskFull, Infrastructure, Timeout

log = logging.getLogger(__name__)
MINIMUM = (2, 38)

QUICK, SLOW = 60.0, 600.0
"""The seconds after which a Git process is ended.

QUICK is for the commands in `_QUICK`: they look up a name, move refs, or read or set configuration. SLOW is for all
others: they may walk the whole history. Without a limit, a FIFO among the refs or a lock on a dead mount would hold Git
for ever.
"""
_QUICK = frozenset(("config", "rev-parse", "symbolic-ref", "update-ref"))
STUCK = 1.0
"""The seconds after which a Git may be waiting for something that we can take out of its way."""
GRACE = 2.0
"""The seconds that such a Git has to remove its locks before it is killed."""

awaited: set[int] = set()
"""The pids of the Git processes that run: a thread of this process waits for each of them."""

FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "Out of diskspace", "error: unable to write file ")
"""The words by which Git says that the disk is full; of a file that it could make and not fill it gives no reason."""

_QUIET = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "core.quotePath=false",
    "log.showSignature=false",
    "protocol.ext.allow=never",
)


class GitError(AgentctlError):
    """git {command} failed: {stderr}"""  # noqa: D400, D415

    code = "git"

    def __init__(self, argv: Sequence[str], status: int, stderr: str) -> None:
        self.status, self.stderr = status, stderr.strip()
        super().__init__(command=" ".join(argv[:2]), stderr=self.stderr or f"exit status {status}")


@functools.cache
def binary() -> str:
    """Return the absolute path of git.

    Raises Infrastructure if git is not on the PATH.
    """
    found = shutil.which("git")
    if not found:
        raise Infrastructure("git is not on the PATH", hint="install Git 2.38 or newer")
    return os.path.abspath(found)


@functools.cache
def version() -> tuple[int, ...]:
    text = subprocess.run([binary(), "version"], capture_output=True, text=True, timeout=QUICK).stdout
    return tuple(int(part) for part in text.split()[2].split(".")[:3] if part.isdigit())


@functools.cache
def _closed_environment() -> dict[str, str]:
    kept = {k: os.environ[k] for k in ("PATH", "HOME", "TMPDIR") if k in os.environ}
    return kept | {
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": "file",
        "AGENTCTL_BOT": "1",
    }


def command(args: Sequence[str], git_dir: str | None) -> tuple[list[str], dict[str, str]]:
    """Return (command line, whole environment) for a Git that is closed off as `run` says."""
    argv = [binary()]
    for setting in _QUIET:
        argv += ["-c", setting]
    if git_dir:
        argv.append("--git-dir=" + git_dir)
    return [*argv, *args], _closed_environment()


class Options(TypedDict, total=False):
    """The options of `run`, for the functions that pass them on to it."""

    stdin: bytes
    source: str | None
    ok: Sequence[int]
    limit: float | None


def run(
    args: Sequence[str],
    *,
    git_dir: str | None = None,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    source: str | None = None,
    ok: Sequence[int] = (0,),
    limit: float | None = None,
    free: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git, closed off from system and global configuration, hooks and prompts.

    Its input is `stdin`, or the content of the file `source`. While it does not end, `free` is called now and then: that
    frees it of what it may wait for. Raises GitError for an exit status not in `ok`, DiskFull, and Timeout after `limit`
    seconds (by default QUICK or SLOW, as the command needs).
    """
    argv, closed = command(args, git_dir)
    with open(source, "rb") if source else contextlib.nullcontext(subprocess.PIPE) as feed, _told(args):
        done = _called(
            argv, cwd=cwd or git_dir, env=closed | dict(env or {}), input=stdin, feed=feed, limit=limit or _limit(args), free=free
        )
    if done.returncode not in ok:
        said = done.stderr.decode(errors="replace")
        if any(words in said for words in FULL):
            raise DiskFull(said=said.strip())
        raise GitError(args, done.returncode, said)
    return done


def _limit(args: Sequence[str]) -> float:
    return QUICK if args[0] in _QUICK else SLOW


@contextlib.contextmanager
def _told(args: Sequence[str]) -> Iterator[None]:
    """Turn the end of a Git that took too long into a Timeout that names the command."""
    try:
        yield
    except subprocess.TimeoutExpired as error:
        words = list(args)
        while words[:1] == ["-c"]:
            del words[:2]
        raise Timeout(
            f"git {' '.join(words[:3])} did not end within {error.timeout:g} s and was stopped",
            hint="agentctl doctor tells of what may hold a Git",
        ) from None


class Leash:
    """A hold on the Git processes of one thread: they share one time limit, and another thread can end them."""

    def __init__(self) -> None:
        self._until = float("inf")
        self._cut = False
        self._git: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Hold every Git that this thread runs in the context; all of them together get `seconds`."""
        self._until, _thread.leash = time.monotonic() + seconds, self
        try:
            yield
        finally:
            _thread.leash = None

    def left(self, limit: float) -> float:
        """Return how many seconds a Git may run that would get `limit` seconds without this leash."""
        return max(0.01, min(limit, self._until - time.monotonic()))

    @contextlib.contextmanager
    def on(self, git: subprocess.Popen[bytes]) -> Iterator[None]:
        self._hold(git)
        try:
            yield
        finally:
            self._hold(None)

    def _hold(self, git: subprocess.Popen[bytes] | None) -> None:
        with self._lock:
            self._git = git
            if git and self._cut:
                _end(git, signal.SIGKILL)

    def cut(self) -> None:
        """Kill the Git that runs now, and every Git that is run later."""
        with self._lock:
            self._cut = True
            if self._git:
                _end(self._git, signal.SIGKILL)


_thread = threading.local()


def _called(
    argv: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    input: bytes = b"",
    feed: IO[bytes] | int = subprocess.PIPE,
    limit: float = SLOW,
    free: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run Git in a process group of its own, so that Ctrl-C on the terminal reaches agentctl alone.

    If an exception interrupts this call, Git is ended with SIGTERM, so that it removes its locks and temporary files.
    The same is done after `limit` seconds, and a Git that does not end within GRACE seconds is killed.
    """
    leash: Leash | None = getattr(_thread, "leash", None)
    begun = time.monotonic()
    limit = leash.left(limit) if leash else limit
    with contextlib.ExitStack() as ends:
        with signals.kept_from_children():
            git = ends.enter_context(
                subprocess.Popen(
                    argv, cwd=cwd, env=env, process_group=0, stdin=feed, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
            )
            awaited.add(git.pid)
            ends.callback(awaited.discard, git.pid)
            ends.enter_context(_interruptible(git))
        if leash:
            ends.enter_context(leash.on(git))
        # A thread instead of Popen's own timeout: that polls for the end of Git, and its pauses of milliseconds are long for
        # a Git that takes two.
        ended, over = threading.Event(), threading.Event()
        threading.Thread(target=_watch, args=(git, limit, free, ended, over), daemon=True).start()
        try:
            out, said = git.communicate(input if feed == subprocess.PIPE else None)
        finally:
            ended.set()
    log.debug(
        "git %s: exit status %d after %.1f ms in %s",
        printable(" ".join(argv[1:]), 500),
        git.returncode,
        1000 * (time.monotonic() - begun),
        printable(cwd or ""),
    )
    if over.is_set():
        raise subprocess.TimeoutExpired(argv, limit)
    return subprocess.CompletedProcess(argv, git.returncode, out, said)


@contextlib.contextmanager
def _interruptible(git: subprocess.Popen[bytes]) -> Iterator[None]:
    """End Git if an exception leaves the context."""
    try:
        yield
    except BaseException:
        _end(git)
        raise


def _watch(
    git: subprocess.Popen[bytes], limit: float, free: Callable[[], None] | None, ended: threading.Event, over: threading.Event
) -> None:
    """End Git after `limit` seconds. Until then it is freed of what it may wait for, at intervals that double."""
    until, pause = time.monotonic() + limit, STUCK
    while free and pause < until - time.monotonic():
        if ended.wait(pause):
            return
        free()
        pause *= 2
    if ended.wait(max(0.0, until - time.monotonic())):
        return
    over.set()
    _end(git)
    time.sleep(GRACE)
    _end(git, signal.SIGKILL)


def _end(git: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> None:
    """Send a signal to Git and to the processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(git.pid, how)


def text(
    args: Sequence[str],
    *,
    git_dir: str | None = None,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    **options: Unpack[Options],
) -> str:
    """Return the standard output of `run`, decoded and without its last newline."""
    return decoded(run(args, git_dir=git_dir, cwd=cwd, env=env, **options))


def decoded(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the standard output of a finished Git, decoded and without its last newline."""
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


@functools.cache
def local_variables() -> frozenset[str]:
    """Return the names of the environment variables that tie a process to one repository."""
    done = subprocess.run([binary(), "rev-parse", "--local-env-vars"], capture_output=True, text=True, timeout=QUICK)
    return frozenset(done.stdout.split())


def ended(pid: str) -> bool:
    """Tell whether a text is the id of a process, and no process with this id exists here."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        pass
    return False


def child_environment() -> dict[str, str]:
    """Return our environment for a child that may call Git itself, tied to no repository and to no date.

    The dates are removed because a hook of `git commit` is given the date of that commit.
    """
    tied = local_variables() | {"GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"}
    return {k: v for k, v in os.environ.items() if k not in tied}


def called_as_user(
    args: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", limit: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git in `cwd` as the user would, with the user's configuration, whatever its exit status is."""
    with _told(args):
        return _called(
            [binary(), *args],
            cwd=cwd,
            env=child_environment() | {"LC_ALL": "C"} | dict(env or {}),
            input=stdin,
            limit=limit or _limit(args),
        )


def as_user(
    args: Sequence[str], *, cwd: str, ok: Sequence[int] = (0,), env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> str:
    """Return the output of `called_as_user`; raise GitError for an exit status not in `ok`."""
    done = called_as_user(args, cwd=cwd, env=env, stdin=stdin)
    if done.returncode not in ok:
        raise GitError(args, done.returncode, done.stderr.decode(errors="replace"))
    return decoded(done)
