"""What leaves a block in which signals are held back."""

import errno
import os
import signal
import threading
from types import SimpleNamespace

import pytest

from agentctl import signals
from agentctl.commands import spawn
from agentctl.errors import Contended

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    asked = signals._Asked()
    monkeypatch.setattr(signals, "_asked", asked)
    return asked


@pytest.mark.parametrize("told", [False, True])
def test_an_error_after_a_signal_is_stopped_and_kept(asked, told):
    with pytest.raises(signals.Stopped) as caught, signals.held(), signals.held():
        try:
            asked.numbers.append(signal.SIGTERM)
            if told:
                signals.check()
        finally:
            raise FULL
    assert caught.value.__cause__ is signals.undone() is FULL


def test_an_error_without_a_signal_stays_itself():
    with pytest.raises(OSError) as caught, signals.held():
        raise FULL
    assert caught.value is FULL and signals.undone() is None


def test_a_signal_whose_clean_up_comes_to_its_end_leaves_nothing_undone(asked):
    with pytest.raises(signals.Stopped), signals.held():
        asked.numbers.append(signal.SIGTERM)
    assert signals.undone() is None


class OneSession:
    """A session that runs until it is stopped, and ends by an error; the last one asks to stop all."""

    def __init__(self, name, error, last=False):
        self.work, self.error, self.last, self.stopped = SimpleNamespace(agent=name), error, last, threading.Event()

    def stop(self):
        self.stopped.set()

    def go(self):
        if self.last:
            os.kill(os.getpid(), signal.SIGINT)
        assert self.stopped.wait(60)
        raise self.error


@pytest.mark.parametrize("error", [FULL, Contended("it was stopped before it began")])
def test_an_error_by_which_stopped_sessions_end_is_told_and_kept(error):
    before, said = signal.getsignal(signal.SIGINT), []
    given = SimpleNamespace(json=False, say=said.append)
    signal.signal(signal.SIGINT, signals._heed)
    try:
        with pytest.raises(signals.Stopped):
            spawn.run(given, [OneSession("a-1", Contended("it is late")), OneSession("a-2", error, last=True)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert signals.undone() is (FULL if error is FULL else None)
    assert sorted(said) == ["a-1: it is late", "a-2: No space left on device" if error is FULL else f"a-2: {error.message}"]
