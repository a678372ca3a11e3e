from __future__ import annotations

from agentctl.core.text import landed_message


def test_forged_trailers_are_stripped_wherever_they_stand():
    text = "Fix\n\nAgentctl-Change: other/1\nbody\nagentctl-task: x\n  folded\nSigned-off-by: A <a@b>\n"
    assert landed_message.strip_own(text) == "Fix\n\nbody\nSigned-off-by: A <a@b>"


def test_trailers_join_those_that_are_there():
    own = {"Agentctl-Change": "fix/1", "Agentctl-Task": None}
    assert landed_message.with_trailers("Fix\n\nbody\n", own) == "Fix\n\nbody\n\nAgentctl-Change: fix/1\n"
    signed = "Fix\n\nbody\n\nSigned-off-by: A <a@b>\n"
    assert landed_message.with_trailers(signed, own) == signed + "Agentctl-Change: fix/1\n"
    assert landed_message.with_trailers("", own) == "(no message)\n\nAgentctl-Change: fix/1\n"


def test_squash_keeps_one_message_and_joins_several():
    assert landed_message.squash(["Fix\n\nbody\n"]) == "Fix\n\nbody"
    joined = landed_message.squash(["wip\n", "Agentctl-Change: x/1\n", "Fix it\n\nwhy\n"])
    assert joined == "Fix it\n\n* wip\n\n* Fix it\n  \n  why"


def test_a_trailer_is_read_from_the_last_paragraph_alone():
    message = b"Fix\n\nTask: none\n\nTask: one\nOther: x\nTask:two\n"
    assert (landed_message.trailer(message, "Task"), landed_message.trailer(message, "Other")) == ("one,two", "x")
    assert landed_message.trailer(message, "Agent") == landed_message.trailer(b"Task: one\n", "Task") == ""


def test_nothing_squashed_is_nothing():
    assert landed_message.squash([]) == landed_message.squash(["", " \n"]) == ""


def test_the_subject_of_several_is_that_of_the_last():
    joined = landed_message.squash(["one\n", "two\n", "three\n\nwhy\n"])
    assert joined == "three\n\n* one\n\n* two\n\n* three\n  \n  why"
