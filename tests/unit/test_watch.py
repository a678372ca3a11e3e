"""For how long a ref of a remote has been as it is, by looks that cover the time."""

from agentctl.git.watch import GAP, Watch, after


def watched(*looks, now=None):
    """What is known after looks, each (when, what it found)."""
    known = None
    for looked, found in looks:
        known = after(known, found, looked, looked if now is None else now)
    return known


def test_time_counts_that_looks_cover():
    assert watched((0, "a"), (20, "a"), (45, "a")).still == 45


def test_time_in_which_nobody_looked_does_not():
    assert watched((0, "a"), (GAP + 1, "a")).still == 0
    assert watched((0, "a"), (20, "a"), (3600, "a"), (3610, "a")).still == 10


def test_nothing_is_known_once_nobody_looks_any_more():
    assert after(watched((0, "a"), (20, "a")), "a", 20, 20 + GAP + 1).still == 0


def test_a_clock_that_was_set_back_covers_nothing():
    assert watched((100, "a"), (20, "a")).still == 0


def test_what_became_something_else_has_moved():
    assert watched((0, "a"), (20, "b")) == Watch("b", 20, 20, moved=True)
    assert watched((0, "a"), (20, "b"), (40, "b")) == Watch("b", 20, 40, moved=True)


def test_nobody_knows_when_it_moved_while_nobody_looked():
    assert not watched((0, "a"), (GAP + 1, "b")).moved
