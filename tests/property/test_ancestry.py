"""What a head has that trunk has not, against Git, in random histories."""

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.git.ancestry import FirstParents, between
from agentctl.git.objects import EMPTY_TREE
from tests.support.hub import Repo


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    path = tmp_path_factory.mktemp("lines")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    return Repo(path).hub


steps = st.lists(
    st.tuples(st.integers(0, 30), st.one_of(st.none(), st.none(), st.integers(0, 30)), st.integers(-3, 10)),
    min_size=2,
    max_size=12,
)
"""Of each commit: its parent, another one, and how much later than the parent it is made. Dates lie."""


def grown(hub, made):
    hub.objects.write_tree({})
    commits = [hub.objects.write_commit(EMPTY_TREE, (), "root", 100)]
    for number, (parent, other, later) in enumerate(made):
        parents = dict.fromkeys([commits[parent % len(commits)], *([] if other is None else [commits[other % len(commits)]])])
        when = hub.objects.commit(next(iter(parents))).time + later
        commits.append(hub.objects.write_commit(EMPTY_TREE, parents, f"{number}", when))
    return commits


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=4))
def test_a_line_says_what_git_says(hub, made, asked):
    commits = grown(hub, made)
    line = FirstParents(hub.objects)
    for one, two in asked:
        trunk, head = commits[one % len(commits)], commits[two % len(commits)]
        answer = line.meets(head, trunk, 100)
        if answer:
            own = hub.git("rev-list", "--topo-order", head, "^" + trunk).split()
            assert answer == (own, hub.git("merge-base", trunk, head))


def linear(hub, count, below=(), when=1):
    made = list(below)
    for n in range(count):
        made.append(hub.objects.write_commit(EMPTY_TREE, made[-1:], f"{when} {n}", when + n))
    return made


def test_what_needs_no_process(hub):
    trunk = linear(hub, 30)
    work = linear(hub, 3, trunk[:11], 50)
    line = FirstParents(hub.objects)
    assert line.meets(work[-1], trunk[20], 9) == (work[:10:-1], trunk[10])
    # Trunk goes on, and another head comes from further down.
    assert line.meets(work[-1], trunk[29], 9) == (work[:10:-1], trunk[10])
    early = linear(hub, 1, trunk[:2], 70)
    assert line.meets(early[-1], trunk[29], 9) == (early[-1:], trunk[1])
    assert line.meets(trunk[5], trunk[29], 9) == ([], trunk[5])
    # Trunk was put elsewhere.
    assert line.meets(trunk[29], work[-1], 30) == (trunk[:10:-1], trunk[10])
    assert [c.oid for c in between(hub.objects, work[-1], trunk[10], 9)] == work[:10:-1]


def test_what_is_left_to_git(hub):
    trunk = linear(hub, 5)
    work = linear(hub, 3, trunk[:2], 50)
    line = FirstParents(hub.objects)
    assert line.meets(work[-1], trunk[-1], 2) is None
    assert line.meets(linear(hub, 3, (), 90)[-1], trunk[-1], 9) is None
    joined = hub.objects.write_commit(EMPTY_TREE, (trunk[-1], work[2]), "merge", 99)
    assert line.meets(work[-1], joined, 9) is None
    assert between(hub.objects, joined, trunk[0], 9) is None
