"""When a session takes up the conversation of the one before it."""

import pytest

from agentctl.core.tasks.conversation import taken_up
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import Session
from agentctl.core.text.json_form import replace
from agentctl.fleet import adapters


def last(end, kind=None, **facts):
    failure = Failure(kind, "it says") if kind else None
    return replace(Session(1, "ann", end, 1.0, 1.0, "t", failure=failure, conversation="c0-ffee"), **facts)


@pytest.mark.parametrize(
    ("session", "repair", "cut"),
    [
        (last(End.SUBMITTED, revision=1), True, True),
        (last(End.INTERRUPTED), False, True),
        (last(End.CRASHED, Kind.RATE), False, True),
        (last(End.CRASHED, Kind.NETWORK), False, True),
        (last(End.CRASHED), False, False),
        (last(End.CRASHED, Kind.CONTEXT), False, False),
        (last(End.STUCK, Kind.LIMIT), False, False),
        (last(End.SPENT, Kind.LIMIT), False, False),
        (last(End.EMPTY), False, False),
        (last(End.SUBMITTED, agent="bob"), False, False),
        (last(End.SUBMITTED, conversation=""), False, False),
        (last(End.SUBMITTED, conversation="--help"), False, False),
    ],
)
def test_taken_up(session, repair, cut):
    assert taken_up((session,), "ann", "never") == "" == taken_up((), "ann", "cut")
    assert taken_up((session,), "ann", "repair") == ("c0-ffee" if repair else "")
    assert taken_up((session,), "ann", "cut") == ("c0-ffee" if cut else "")
    # Only the last session counts.
    assert taken_up((session, last(End.EMPTY)), "ann", "cut") == ""


@pytest.mark.parametrize("name", [name for name, adapter in adapters.ADAPTERS.items() if adapter.resumed])
def test_the_program_is_called_with_all_that_was_added(name):
    argv = ("/opt/bin/" + name, *adapters.lookup(name).argv[1:], "--model", "m")
    again = adapters.resuming(name, argv)
    assert again[0] == argv[0] and again[-2:] == ("--model", "m")
    assert again.count("{conversation}") == again.count("{prompt}") == 1


def test_others_begin_afresh():
    assert adapters.resuming("aider", adapters.lookup("aider").argv) == ()
    assert adapters.resuming("command", ("claude", "-p", "x")) == ()
