"""What leaves a block in which signals are held back."""

import errno
import signal

import pytest

from agentctl import signals

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
