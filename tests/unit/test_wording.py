from __future__ import annotations

from agentctl.core import wording
from agentctl.core.prompt import render
from agentctl.core.task import End, Session, Task
from agentctl.fleet import adapters


def test_forged_trailers_are_stripped_wherever_they_stand():
    text = "Fix\n\nAgentctl-Change: other/1\nbody\nagentctl-task: x\n  folded\nSigned-off-by: A <a@b>\n"
    assert wording.strip_own(text) == "Fix\n\nbody\nSigned-off-by: A <a@b>"


def test_trailers_join_those_that_are_there():
    own = {"Agentctl-Change": "fix/1", "Agentctl-Task": None}
    assert wording.with_trailers("Fix\n\nbody\n", own) == "Fix\n\nbody\n\nAgentctl-Change: fix/1\n"
    signed = "Fix\n\nbody\n\nSigned-off-by: A <a@b>\n"
    assert wording.with_trailers(signed, own) == signed + "Agentctl-Change: fix/1\n"
    assert wording.with_trailers("", own) == "(no message)\n\nAgentctl-Change: fix/1\n"


def test_squash_keeps_one_message_and_joins_several():
    assert wording.squash(["Fix\n\nbody\n"]) == "Fix\n\nbody"
    joined = wording.squash(["wip\n", "Agentctl-Change: x/1\n", "Fix it\n\nwhy\n"])
    assert joined == "Fix it\n\n* wip\n\n* Fix it\n  \n  why"


def test_the_prompt_of_a_second_attempt_holds_the_evidence():
    first = Session(1, "ann", End.SUBMITTED, 1.0, 1.0, "t", revision=1)
    task = Task("fix", "Fix it", "Fix the crash.", acceptance="Tests pass.", sessions=(first,))
    landed = [{"commit": "c" * 40, "change": "other/1", "subject": "Other work"}]
    text = render(task, 3, {"why": "test: exit status 1", "landed": landed}, log="boom\n", previous="d" * 40)
    for part in ("# Fix it", "Fix the crash.", "Tests pass.", "1 of 3", "exit status 1", "boom", "Other work", "d" * 40):
        assert part in text
    assert "rejected" not in render(task, 3, None)


def test_placeholders_are_filled_in_one_pass():
    values = {"prompt_file": "/p.md", "task": "fix"}
    argv = adapters.filled(("run", "{task}", "--p={prompt}", "{unknown}", "{"), "say {task} {", values)
    assert argv == ("run", "fix", "--p=say {task} {", "{unknown}", "{")


def test_a_prompt_too_long_for_an_argument_is_named_by_its_file():
    (word,) = adapters.filled(("{prompt}",), "x" * 200_000, {"prompt_file": "/p.md"})
    assert "/p.md" in word and len(word) < 100
