"""The pure parts of a replay: which commits make a task, and which bugs are tried."""

import pytest

from agentctl.git.objects import CommitInfo
from agentctl.replay import history
from agentctl.replay.history import Bug, Piece


def commit(number, tree, subject="work"):
    return CommitInfo(f"{number:040x}", tree, (), b"Ann <a@x>", 0, 0, 0, subject.encode())


@pytest.mark.parametrize(
    "green, tasks, left",
    [
        ("", [], ()),
        ("g", [(0,)], ()),
        ("ggg", [(0,), (1,), (2,)], ()),
        ("grg", [(0,), (1, 2)], ()),
        ("rrgg", [(0, 1, 2), (3,)], ()),
        ("grr", [(0,)], (1, 2)),
        ("rr", [], (0, 1)),
    ],
)
def test_red_commits_join_those_after_them(green, tasks, left):
    assert history.group([letter == "g" for letter in green]) == (tasks, left)


def test_a_task_goes_from_the_tree_below_it_to_that_of_its_last_commit():
    commits = [commit(1, "t1", "first"), commit(2, "t2"), commit(3, "t3", "Mend: it!")]
    first, second = history.pieces(commits, [(0,), (1, 2)], "t0")
    assert (first.task, first.base, first.target) == ("0001-first", "t0", "t1")
    assert (second.task, second.base, second.target) == ("0003-mend-it", "t1", "t3")
    assert second.commits == (commits[1].oid, commits[2].oid)


def test_what_changes_nothing_is_no_task_and_what_follows_it_builds_on_the_same_tree():
    commits = [commit(1, "t1"), commit(2, "t1"), commit(3, "t3")]
    found = history.pieces(commits, [(0,), (1,), (2,)], "t0")
    assert [(p.base, p.target) for p in found] == [("t0", "t1"), ("t1", "t3")]


def test_a_task_has_a_name_even_if_its_subject_gives_none():
    found = history.pieces([commit(1, "t1", "\u2026")], [(0,)], "t0")
    assert found[0].task == f"0001-{'0' * 10}"


def test_the_draw_is_the_seeds():
    assert history.drawn(50, 1) == history.drawn(50, 1) != history.drawn(50, 2)
    assert sorted(history.drawn(50, 3)) == list(range(50))


PIECE = Piece("0007-x", "base", "target", ("c",))


def test_tests_come_before_modules_and_these_before_other_files():
    content = {"README": b"read me\n", "tests/test_a.py": b"", "a.py": b"a = 1\n", "logo.png": b"\0\1"}
    assert [bug.path for bug in history.candidates(PIECE, content)] == ["tests/test_a.py", "a.py", "README"]


def test_files_that_stay_to_the_end_come_first():
    found = history.candidates(PIECE, {"a.py": b"", "notes": b"one\n"}, stays={"notes"})
    assert [bug.path for bug in found] == ["notes", "a.py"]


def test_a_bug_names_its_task():
    module, text = history.candidates(PIECE, {"a.py": b"a = 1\n", "notes": b"one\ntwo\n"})
    assert not module.whole and "raise" in module.text and PIECE.task in module.text
    assert text.whole and text.text.startswith("one\n") and "two" not in text.text and PIECE.task in text.text


def test_a_bug_is_seen_in_a_tree(repo):
    objects = repo.hub.objects
    tree = objects.commit(repo.tip).tree
    for bug in (Bug("README", "\nraise\n", False), Bug("README", "half\n", True), Bug("new", "text\n", False)):
        bad = history.with_bug(repo.hub, tree, bug)
        assert history.holds(repo.hub, bad, bug) and not history.holds(repo.hub, tree, bug)
    assert objects.read(history.with_bug(repo.hub, tree, Bug("README", "more\n", False)), "README") == b"read me\nmore\n"
