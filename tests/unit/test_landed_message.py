from __future__ import annotations

from agentctl.core.queue.answer import Facts, Other
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
    landed = (Other("c" * 40, "other/1", "Other work"),)
    text = render(task, 3, Facts(why="test: exit status 1", landed=landed), log="boom\n", previous="d" * 40)
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
    text = render(replace(task, sessions=(submitted,)), 3, Facts(why="test: exit status 1"), salvage=submitted.salvage)
    assert "`git show refs/agentctl/salvage/ann/2`" in text and "handed in fix/1" in text
    assert "holds the id of the commit of trunk that did it" in text


def test_placeholders_are_filled_in_one_pass():
    values = {"prompt_file": "/p.md", "task": "fix"}
    argv = adapters.filled(("run", "{task}", "--p={prompt}", "{unknown}", "{"), "say {task} {", values)
    assert argv == ("run", "fix", "--p=say {task} {", "{unknown}", "{")


def test_a_prompt_too_long_for_an_argument_is_named_by_its_file():
    (word,) = adapters.filled(("{prompt}",), "x" * 200_000, {"prompt_file": "/p.md"})
    assert "/p.md" in word and len(word) < 100


def sections(*sessions: Session, **more) -> list[str]:
    """The headings of a prompt, and its first paragraphs."""
    text = render(Task("fix", "Fix it", "Fix the crash.", sessions=sessions), 3, more.pop("answer", None), **more)
    return [line for line in text.splitlines() if line.startswith("## ")]


def test_a_prompt_has_no_section_without_anything_in_it():
    assert sections() == ["## How to hand in"]
    quiet = Session(1, "ann", End.CRASHED, 1.0, 1.0, "t")
    assert sections(quiet) == ["## How to hand in"]
    assert sections(answer=Facts(why="no")) == ["## Your last attempt was rejected (0 of 3 made)", "## How to hand in"]
    text = render(Task("fix", "Fix it", "Fix the crash."), 3, Facts(why="no"))
    assert not any(
        word in text for word in ("The conflict", "gate's output", "Landed meanwhile", "conflicts with", "It was commit")
    )
    assert "+a\n```" in render(Task("fix", "Fix it", "Fix the crash."), 3, Facts(why="no"), conflict="+a\n\n")


def test_a_session_that_failed_by_its_own_fault_is_told_of():
    noted = Session(1, "ann", End.CRASHED, 1.0, 1.0, "t", note="exit status 1")
    assert sections(noted) == ["## Earlier sessions", "## How to hand in"]
    assert sections(replace(noted, revision=1)) == ["## How to hand in"]


def test_unfinished_work_is_that_of_the_session_that_left_it():
    kept, handed = "refs/agentctl/salvage/ann/1", "refs/agentctl/salvage/ann/2"
    cut = Session(1, "ann", End.TIMEOUT, 1.0, 1.0, "t", salvage=kept)
    done = Session(2, "ann", End.SUBMITTED, 2.0, 1.0, "t", revision=1, salvage=handed)
    task = Task("fix", "Fix it", "Fix the crash.", sessions=(cut, done))
    assert f"`git diff HEAD...{kept}`" in render(task, 3, None, salvage=kept)
    assert f"`git show {handed}`" in render(task, 3, None, salvage=handed)
    assert "`git diff HEAD...refs/other`" in render(task, 3, None, salvage="refs/other")


def test_a_trailer_is_read_from_the_last_paragraph_alone():
    message = b"Fix\n\nTask: none\n\nTask: one\nOther: x\nTask:two\n"
    assert (landed_message.trailer(message, "Task"), landed_message.trailer(message, "Other")) == ("one,two", "x")
    assert landed_message.trailer(message, "Agent") == landed_message.trailer(b"Task: one\n", "Task") == ""


def test_nothing_squashed_is_nothing():
    assert landed_message.squash([]) == landed_message.squash(["", " \n"]) == ""


def test_the_subject_of_several_is_that_of_the_last():
    joined = landed_message.squash(["one\n", "two\n", "three\n\nwhy\n"])
    assert joined == "three\n\n* one\n\n* two\n\n* three\n  \n  why"
