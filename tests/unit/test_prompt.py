"""What a session is told, from what is known."""

from __future__ import annotations

from agentctl.core.queue.answer import Facts, Other
from agentctl.core.tasks import failing_tests
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.notebook import LINES, parse, with_lines
from agentctl.core.tasks.prompt import TEMPLATE, Conflicting, Neighbour, Situation, misspelt, render
from agentctl.core.tasks.task import End, Session, Task
from agentctl.core.text.json_form import replace

TASK = Task("fix", "Fix it", "Fix the crash.")
ALWAYS = ("## How to hand in", "## If something is in the way", "## For whoever goes on")


def told(task: Task, **known) -> str:
    return render(Situation(task, 3, **known))


def test_the_prompt_of_a_second_attempt_holds_the_evidence():
    first = Session(1, "ann", End.SUBMITTED, 1.0, 1.0, "t", revision=1)
    task = Task("fix", "Fix it", "Fix the crash.", acceptance="Tests pass.", sessions=(first,))
    landed = (Other("c" * 40, "other/1", "Other work"),)
    text = told(task, answer=Facts(why="test: exit status 1", landed=landed), log="boom\n", previous="d" * 40)
    for part in ("# Fix it", "Fix the crash.", "Tests pass.", "1 of 3", "exit status 1", "boom", "Other work", "d" * 40):
        assert part in text
    assert "rejected" not in told(task)


def test_the_prompt_tells_of_what_was_left_but_not_of_the_providers_trouble():
    limited = Session(1, "ann", End.CRASHED, 1.0, 1.0, "t", note="exit status 1: 429", failure=Failure(Kind.RATE, "429"))
    half = Session(2, "ann", End.CRASHED, 2.0, 1.0, "t", note="exit status 1; kept", salvage="refs/agentctl/salvage/ann/1")
    task = Task("fix", "Fix it", "Fix the crash.", sessions=(limited, half))
    text = told(task, salvage=half.salvage)
    assert "429" not in text and "- ann: crashed, exit status 1; kept" in text
    assert "`git diff HEAD...refs/agentctl/salvage/ann/1`" in text
    submitted = Session(3, "ann", End.SUBMITTED, 3.0, 1.0, "t", revision=1, salvage="refs/agentctl/salvage/ann/2")
    text = told(replace(task, sessions=(submitted,)), answer=Facts(why="test: exit status 1"), salvage=submitted.salvage)
    assert "`git show refs/agentctl/salvage/ann/2`" in text and "handed in fix/1" in text
    assert "holds the id of the commit of trunk that did it" in text


def sections(*sessions: Session, **more) -> list[str]:
    """The headings of a prompt, and its first paragraphs."""
    text = told(replace(TASK, sessions=sessions), **more)
    return [line for line in text.splitlines() if line.startswith("## ") and line not in ALWAYS]


def test_a_prompt_has_no_section_without_anything_in_it():
    assert sections() == []
    quiet = Session(1, "ann", End.CRASHED, 1.0, 1.0, "t")
    assert sections(quiet) == []
    assert sections(answer=Facts(why="no")) == ["## Your last attempt was rejected (0 of 3 made)"]
    text = told(TASK, answer=Facts(why="no"))
    assert not any(
        word in text for word in ("The conflict", "gate's output", "Landed meanwhile", "conflicts with", "It was commit")
    )
    assert "+a\n```" in told(TASK, answer=Facts(why="no"), conflict="+a\n\n")


def test_a_session_that_failed_by_its_own_fault_is_told_of():
    noted = Session(1, "ann", End.CRASHED, 1.0, 1.0, "t", note="exit status 1")
    assert sections(noted) == ["## Earlier sessions"]
    assert sections(replace(noted, revision=1)) == []


def test_unfinished_work_is_that_of_the_session_that_left_it():
    kept, handed = "refs/agentctl/salvage/ann/1", "refs/agentctl/salvage/ann/2"
    cut = Session(1, "ann", End.TIMEOUT, 1.0, 1.0, "t", salvage=kept)
    done = Session(2, "ann", End.SUBMITTED, 2.0, 1.0, "t", revision=1, salvage=handed)
    task = Task("fix", "Fix it", "Fix the crash.", sessions=(cut, done))
    assert f"`git diff HEAD...{kept}`" in told(task, salvage=kept)
    assert f"`git show {handed}`" in told(task, salvage=handed)
    assert "`git diff HEAD...refs/other`" in told(task, salvage="refs/other")


def test_what_a_person_said_when_opening_the_task_again_is_told_to_the_next_session():
    answered = replace(TASK, reason="The key is in tests/key.")
    assert "## What a person says\n\n> The key is in tests/key.\n" in told(answered)
    assert "What a person says" not in told(replace(answered, closed="parked"))
    assert "What a person says" not in told(TASK)


def test_a_project_words_its_own_prompt():
    template = "Dear agent,\n\n{{ task }}\n\n{{acceptance}}\n\n{{earlier}}\n\n${AGENTCTL_TASK} {{ and }} {{rejektion}}\n"
    said = render(Situation(replace(TASK, acceptance="It works."), 3), template)
    assert said == "Dear agent,\n\nFix the crash.\n\n## Done when\n\nIt works.\n\n${AGENTCTL_TASK} {{ and }} {{rejektion}}\n"
    found = misspelt(template, "prompt.md")
    assert [(p.line, p.col) for p in found] == [(9, 18), (9, 28)]
    assert "did you mean 'rejection'" in found[1].message
    assert misspelt(TEMPLATE, "") == []


def test_what_a_task_says_is_no_template():
    assert "{{title}}" in told(replace(TASK, prompt="Print {{title}}."))


def test_a_rejection_is_told_without_the_planners_reckoning():
    answer = Facts(why="test: exit status 1 (8686 to 1 that it is bad)", step="test", exit=1)
    log = "x.py F\nFAILED tests/test_x.py::test_y - assert 1 == 2\n--- FAIL: TestZ (0.01s)\n"
    said = told(TASK, answer=answer, log=log)
    assert "8686" not in said
    assert "The gate `test` failed with exit status 1 on trunk with your change, and passes without it." in said
    assert "- tests/test_x.py::test_y\n- TestZ\n" in said


def test_on_a_conflict_the_other_sides_intent_is_told():
    other = Conflicting("c" * 40, "Rename f to g\n\nIt was a bad name.", "Rename f", "callers in b.py are left")
    said = told(
        TASK, answer=Facts(why="conflict", conflicting=(Other("c" * 40, "rename/1", "Rename f to g"),)), conflicting=(other,)
    )
    for part in (
        "> Rename f to g\n>\n> It was a bad name.",
        "Its task:\n\n> Rename f",
        "handed over:\n\n> callers in b.py are left",
    ):
        assert part in said


def test_who_and_what_is_on_the_same_paths_is_told():
    landed = tuple(Other(f"{n:040}", "", f"change {n}") for n in range(25))
    said = told(TASK, landed=landed, others=(Neighbour("agent-2", "Speed up f", ("src/f.py",)),))
    assert "## 1 other agent at work on the same paths\n\n- agent-2: Speed up f (src/f.py)" in said
    assert "change 19" in said and "change 20" not in said and "- and 5 more" in said


def test_a_handoff_goes_before_the_last_words_and_the_newest_before_others():
    first = Session(1, "ann", End.CRASHED, 1.0, 1.0, "t", note="exit status 1", handoff="half is done")
    second = Session(2, "bob", End.TIMEOUT, 2.0, 1.0, "t", note="no end", said="I look at b.py")
    assert "What ann handed over:\n\n> half is done" in told(replace(TASK, sessions=(first,)))
    assert "What bob said last:\n\n> I look at b.py" in told(replace(TASK, sessions=(first, second)))
    handed_in = replace(second, end=End.SUBMITTED, revision=1)
    assert "What ann handed over" in told(replace(TASK, sessions=(first, handed_in)))


def test_the_gate_is_named_and_how_long_a_session_may_take():
    said = told(TASK, gates=(("test", "make check"),), protect=(".agentctl/**",), minutes=30.0, notebook=("use make",))
    for part in (
        "- test: `make check`",
        "agentctl test",
        "No change may touch `.agentctl/**`.",
        "after 30 minutes",
        "- use make",
    ):
        assert part in said


def test_the_notebook_has_room_for_so_many_lines_and_forgets_the_oldest():
    lines = with_lines((), (f"note {n}" for n in range(LINES + 5)))
    assert (len(lines), lines[0], lines[-1]) == (LINES, "note 5", f"note {LINES + 4}")
    assert with_lines(lines, ["note 7"])[-1] == "note 7" and len(with_lines(lines, ["note 7"])) == LINES
    assert with_lines(("a",), ["", "  ", "- b\nc"]) == ("a", "b c")
    assert parse("- a\n\nb\na\n") == ("b", "a")


def test_the_names_of_failed_tests_of_many_runners():
    printed = """
FAILED tests/test_a.py::test_one[x - y] - AssertionError: no
ERROR tests/test_b.py::test_two
FAIL: test_three (tests.C.test_three)
--- FAIL: TestFour (0.00s)
    --- FAIL: TestFour/sub (0.00s)
test five::six ... FAILED
  \u2715 seven works (12 ms)
not ok 8 - eight # time=1
\x1b[31m[  FAILED  ] Nine.Ten (0 ms)\x1b[0m
FAILED tests/test_a.py::test_one[x - y] - AssertionError: no
ok 9 - fine
test fine ... ok
"""
    assert failing_tests.names(printed) == [
        "tests/test_a.py::test_one[x - y]",
        "tests/test_b.py::test_two",
        "test_three (tests.C.test_three)",
        "TestFour",
        "TestFour/sub",
        "five::six",
        "seven works",
        "eight",
        "Nine.Ten",
    ]
    assert failing_tests.names("") == []
