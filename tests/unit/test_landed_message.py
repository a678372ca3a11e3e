from __future__ import annotations

from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.prompt import render
from agentctl.core.tasks.task import End, Session, Task
from agentctl.core.text import landed_message
from agentctl.core.text.json_form import replace
from agentctl.fleet import adapters


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


def test_the_prompt_of_a_second_attempt_holds_the_evidence():
    first = Session(1, "ann", End.SUBMITTED, 1.0, 1.0, "t", revision=1)
    task = Task("fix", "Fix it", "Fix the crash.", acceptance="Tests pass.", sessions=(first,))
    landed = [{"commit": "c" * 40, "change": "other/1", "subject": "Other work"}]
    text = render(task, 3, {"why": "test: exit status 1", "landed": landed}, log="boom\n", previous="d" * 40)
    for part in ("# Fix it", "Fix the crash.", "Tests pass.", "1 of 3", "exit status 1", "boom", "Other work", "d" * 40):
        assert part in text
    assert "rejected" not in render(task, 3, None)


def test_the_prompt_tells_of_what_was_left_but_not_of_the_providers_trouble():
    limited = Session(1, "ann", End.CRASHED, 1.0, 1.0, "t", note="exit status 1: 429", failure=Failure(Kind.RATE, "429"))
    half = Session(2, "ann", End.CRASHED, 2.0, 1.0, "t", note="exit status 1; kept", salvage="refs/agentctl/salvage/ann/1")
    task = Task("fix", "Fix it", "Fix the crash.", sessions=(limited, half))
    text = render(task, 3, None, salvage=half.salvage)
    assert "429" not in text and "- ann: crashed, exit status 1; kept" in text
    assert "`git diff HEAD...refs/agentctl/salvage/ann/1`" in text
    submitted = Session(3, "ann", End.SUBMITTED, 3.0, 1.0, "t", revision=1, salvage="refs/agentctl/salvage/ann/2")
    text = render(replace(task, sessions=(submitted,)), 3, {"why": "test: exit status 1"}, salvage=submitted.salvage)
    assert "`git show refs/agentctl/salvage/ann/2`" in text and "handed in fix/1" in text
    assert "holds the id of the commit of trunk that did it" in text


def test_placeholders_are_filled_in_one_pass():
    values = {"prompt_file": "/p.md", "task": "fix"}
    argv = adapters.filled(("run", "{task}", "--p={prompt}", "{unknown}", "{"), "say {task} {", values)
    assert argv == ("run", "fix", "--p=say {task} {", "{unknown}", "{")


def test_a_prompt_too_long_for_an_argument_is_named_by_its_file():
    (word,) = adapters.filled(("{prompt}",), "x" * 200_000, {"prompt_file": "/p.md"})
    assert "/p.md" in word and len(word) < 100
