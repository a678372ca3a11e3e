"""Signals that ask agentctl to stop: Ctrl-C (SIGINT), SIGTERM, and SIGHUP when a terminal is closed.

The first signal stops agentctl in order, a second one is only answered with a message, and a third one ends it at
once. The exit status is 128 plus the number of the first signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECOND = "agentctl: it is stopping; once more gives up at once"
THIRD = "agentctl: gave up at once; what is left, the next start clears away"
SHOW_CURSOR = "\x1b[?25h"

TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP)
"""The signals that a terminal sends to its whole foreground group."""

GLANCE = 1.0
"""Seconds of one wait in `result`.

A signal that comes just before a wait without a time limit would not be heard.
"""
T = TypeVar("T")


class Stopped(KeyboardInterrupt):
    """Stops agentctl: `check` raises it in the main thread, once."""


class _Asked:
    """What has been heard so far, and what was done about it."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.holds = 0
        self.told = False
        """Whether Stopped was raised."""
        self.undone: Exception | None = None
        self.terminals: list[int] = []


_asked = _Asked()


def install() -> None:
    """Handle the signals from now on.

    A signal that is ignored at the start, as nohup makes it, stays ignored.
    """
    _asked.terminals = [fd for fd in (1, 2) if os.isatty(fd)]
    sys.unraisablehook = _unraisable
    for number in ASKING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _heed)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose Stopped Python could not raise.

    Where Python can raise nothing, as in a callback of its own, it would print Stopped and go on. So the process
    sends itself the same signal 10 ms later, when that is over.
    """
    from threading import Timer

    if not issubclass(lost.exc_type, Stopped):
        sys.__unraisablehook__(lost)
        return
    _asked.told = False
    again = Timer(0.01, os.kill, (os.getpid(), _asked.numbers.pop()))
    again.daemon = True
    again.start()


def _heed(number: int, _: FrameType | None) -> None:
    _asked.numbers.append(number)
    if number == signal.SIGHUP:
        _leave_terminal()
    if len(_asked.numbers) > 2:
        _say(THIRD)
        os._exit(status())
    if len(_asked.numbers) == 2:
        _say(SECOND)
    elif not _asked.holds:
        check()


def _leave_terminal() -> None:
    """Redirect stdout and stderr to /dev/null where they were a terminal, which is gone.

    Every write to it would fail, and so would the clean-up, which prints what it does.
    """
    for descriptor in _asked.terminals:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _say(words: str) -> None:
    """Write to stderr without Python's buffers, because the signal may come while one of them is written."""
    shown = f"\n{SHOW_CURSOR}{words}\n" if 2 in _asked.terminals else words + "\n"
    with contextlib.suppress(OSError):
        os.write(2, shown.encode())


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold signals back: within the block a signal interrupts nothing.

    Stopped is raised for it by `check`, or at the end of the block (of the outermost one, if blocks are nested). An error
    that leaves the block after a signal becomes Stopped, so that nobody outside takes it for an error to go on after;
    `undone` returns it.
    """
    _asked.holds += 1
    try:
        yield
    except Exception as error:
        if not heard():
            raise
        _asked.told, _asked.undone = True, error
        raise Stopped from error
    finally:
        _asked.holds -= 1
    if not _asked.holds:
        check()


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Block the terminal's signals while a process is started.

    The child starts with these signals blocked. Before it has a process group of its own it would still get them, and
    die.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check() -> None:
    """Raise Stopped if there was a signal and Stopped has not been raised yet."""
    if _asked.numbers and not _asked.told:
        _asked.told = True
        raise Stopped


def heard() -> bool:
    """Tell whether there was a signal."""
    return bool(_asked.numbers)


def undone() -> Exception | None:
    """Return the error that cut the clean-up after a signal short; None if none did."""
    return _asked.undone


def status() -> int:
    """Return the exit status after a signal.

    It is 128 plus the number of the first signal, or of SIGINT if none was heard.
    """
    return 128 + (_asked.numbers[0] if _asked.numbers else signal.SIGINT)


def result(future: Future[T]) -> T:
    """Wait for a future, however long it takes, and return its result.

    Raises what the future raises, and Stopped for a signal that comes meanwhile.
    """
    from concurrent.futures import wait  # Imported here: it takes 5 ms, and a hook never needs it.

    while not wait([future], GLANCE).done:
        pass
    return future.result()
