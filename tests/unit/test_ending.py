"""What the end of a session means, in a table."""

import pytest

from agentctl.core.tasks.ending import MEANING, End, Left, Use, is_litter, left, meaning, too_far_behind


@pytest.mark.parametrize(
    ("committed", "dirty", "repeated", "excuse", "what"),
    [
        (False, False, False, False, Left.NOTHING),
        (False, True, False, False, Left.FILES),
        (True, False, False, False, Left.COMMITS),
        (True, True, False, False, Left.BOTH),
        (True, True, True, False, Left.BOTH),
        (True, True, False, True, Left.BOTH),
        (True, False, True, False, Left.REPEATED),
        (True, False, False, True, Left.EXCUSE),
    ],
)
def test_what_was_left(committed, dirty, repeated, excuse, what):
    assert left(committed, dirty, repeated, excuse) == what


@pytest.mark.parametrize(
    ("what", "end", "use"),
    [
        (Left.NOTHING, End.EMPTY, Use.NOTHING),
        (Left.FILES, End.SUBMITTED, Use.SWEEP),
        (Left.COMMITS, End.SUBMITTED, Use.SUBMIT),
        (Left.BOTH, End.SUBMITTED, Use.SWEEP),
        (Left.REPEATED, End.EMPTY, Use.NOTHING),
        (Left.UNFINISHED, End.EMPTY, Use.SALVAGE),
        (Left.EXCUSE, End.GAVE_UP, Use.NOTHING),
    ],
)
def test_of_a_session_that_ended_well(what, end, use):
    assert meaning(None, what, "commit") == (end, use)


def test_the_policy_may_keep_uncommitted_files_out():
    assert meaning(None, Left.FILES, "salvage") == (End.EMPTY, Use.SALVAGE)
    assert meaning(None, Left.COMMITS, "salvage") == (End.SUBMITTED, Use.SUBMIT)


@pytest.mark.parametrize(
    ("path", "litter"),
    [
        ("new.txt", False),
        ("src/new.txt", False),
        (".tool.cache/a/b", True),
        ("src/.tool", True),
        (".github/new.yml", False),
        (".github/.new", True),
        (".gitattributes", False),
        ("src/.gitignore", False),
        (".gitmodules", True),
        ("new/.keep", True),
        ("src/new.", False),
        ("src/__pycache__/new.cpython-311.pyc", True),
        ("node_modules/left/pad.js", True),
        ("src/node_modules.txt", False),
    ],
)
def test_what_a_tool_keeps_for_itself_is_litter(path, litter):
    assert is_litter(path, {".github", "src"}.__contains__) == litter


@pytest.mark.parametrize("end", [End.CRASHED, End.TIMEOUT, End.STUCK, End.DEFERRED, End.INTERRUPTED, End.BLOCKED])
@pytest.mark.parametrize("what", Left)
def test_of_one_that_did_not_nothing_is_handed_in(end, what):
    got, use = meaning(end, what, "commit")
    assert got == end
    assert use == (Use.NOTHING if what == Left.NOTHING else Use.SALVAGE)


def test_last_words_that_are_an_error_count_only_without_a_commit():
    assert meaning(None, Left.NOTHING, "commit", erred=True) == (End.CRASHED, Use.NOTHING)
    assert meaning(None, Left.FILES, "commit", erred=True) == (End.CRASHED, Use.SALVAGE)
    assert meaning(None, Left.COMMITS, "commit", erred=True) == (End.SUBMITTED, Use.SUBMIT)
    assert meaning(End.STUCK, Left.COMMITS, "commit", erred=True) == (End.STUCK, Use.SALVAGE)


def test_the_table_has_everything_that_can_be_left():
    assert set(MEANING) == set(Left)


def test_a_session_far_behind_is_ended_once_it_was_told_and_not_twice_in_a_row():
    assert too_far_behind(6, 5, True, None) and too_far_behind(6, 5, True, End.CRASHED)
    assert not too_far_behind(5, 5, True, None)
    assert not too_far_behind(6, 5, False, None)
    assert not too_far_behind(6, 5, True, End.BEHIND)
    assert not too_far_behind(6, 0, True, None)
    # It keeps what it has, and the next one is told.
    assert meaning(End.BEHIND, Left.COMMITS, "commit") == (End.BEHIND, Use.SALVAGE)
