"""Signals that ask agentctl to stop: Ctrl-C, SIGTERM, and SIGHUP when a terminal is closed.

The first stops it in order, a second is only answered, a third gives up at once. Exit
status: 128 and the number of the first.
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
"""What a terminal sends to its whole foreground group."""

GLANCE = 1.0
"""Seconds of a wait: a signal that comes just before one without end would not be heard."""
T = TypeVar("T")


class Stopped(KeyboardInterrupt):
    """Raised in the main thread, once."""


class _Asked:
    """What has been heard so far."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.holds = 0
        self.told = False
        """Stopped was raised."""
        self.terminals: list[int] = []


_asked = _Asked()


def install() -> None:
    """Heed the signals from now on, but for those that whoever started us has us ignore, as
    nohup does."""
    _asked.terminals = [fd for fd in (1, 2) if os.isatty(fd)]
    sys.unraisablehook = _unraisable
    for number in ASKING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _heed)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Where Python can raise nothing, as in a callback of its own, it would print Stopped and go on.
    The signal is given once more, when that is over."""
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
    """Every write to one that is gone would fail, and so would the clean-up that tells of itself."""
    for descriptor in _asked.terminals:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _say(words: str) -> None:
    """Around Python's buffers: a signal may come while one of them is written."""
    shown = f"\n{SHOW_CURSOR}{words}\n" if 2 in _asked.terminals else words + "\n"
    with contextlib.suppress(OSError):
        os.write(2, shown.encode())


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Within, a signal cuts nothing short: Stopped is raised by `check`, or at the end."""
    _asked.holds += 1
    try:
        yield
    finally:
        _asked.holds -= 1
    if not _asked.holds:
        check()


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Within, a process is started with the terminal's signals blocked: before it has a group of
    its own it would still hear them, and die."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check() -> None:
    """Raise Stopped if there was a signal that nobody has been told of."""
    if _asked.numbers and not _asked.told:
        _asked.told = True
        raise Stopped


def heard() -> bool:
    """True once there was a signal."""
    return bool(_asked.numbers)


def status() -> int:
    """The exit status after a signal."""
    return 128 + (_asked.numbers[0] if _asked.numbers else signal.SIGINT)


def result(future: Future[T]) -> T:
    """What comes of it, however long that takes; raises what it raises, and for a signal."""
    from concurrent.futures import wait  # Costs a hook, which never gets here, 5 ms.

    while not wait([future], GLANCE).done:
        pass
    return future.result()
