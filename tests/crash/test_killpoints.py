"""Commands killed before some of their effects, and given once more. All points: python -m bench.killpoints."""

import pytest

from bench import killpoints

QUICK = ("init", "task add --file", "submit", "queue resume", "hook install", "doctor --mend checkout", "doctor --mend refs")
"""The other commands have effects of the same kinds."""


@pytest.mark.parametrize("name", QUICK)
def test_the_same_command_finishes_what_was_killed(name):
    count, _, _, wrong = killpoints.measured(name, every=11, with_git=False)
    assert wrong == [] and count >= 1


@pytest.mark.skipif(not killpoints.can_trace(), reason="there is no strace that works here")
@pytest.mark.parametrize("name", ["submit", "queue resume"])
def test_also_what_was_killed_within_git(name):
    count, _, _, wrong = killpoints.measured(name, every=18)
    assert wrong == [] and count >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(killpoints.COMMANDS))
def test_every_point(name):
    assert killpoints.measured(name, with_git=killpoints.can_trace())[-1] == []


def test_the_harness_sees_what_is_left(tmp_path):
    # A control: a command that a kill does leave half done.
    half = killpoints.Command("task done one", killpoints.shell(killpoints.TASK), again=(3,))
    place = killpoints.Place(str(tmp_path), killpoints.Command("task done one", killpoints.shell(killpoints.TASK)))
    place.command = half
    found = [wrong for _, wrong in killpoints.points(place, 8, with_git=False)]
    assert found and all("exit status 0" in wrong for wrong in found)
