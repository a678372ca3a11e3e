"""What the bot wrote last, broken between the file and the ref: never a false alarm, never a ref lost.

The file is written before a ref moves and after; a run dies before its n-th effect on either.
"""

import pytest

from agentctl.core import refnames
from agentctl.engine import locks
from agentctl.git.repository import find
from agentctl.hub import foreign, marks
from agentctl.hub.ledger import Ledger
from tests.crash.test_landing import Counter, Crash, begin, holds, run  # noqa: F401
from tests.support.hub import Repo

BOTH = {"mark", "git update-ref", "git read-tree"}


@pytest.fixture
def counter(monkeypatch):
    made = Counter(monkeypatch, lambda kind, number: kind in BOTH)
    made._wrap(monkeypatch, marks, "edit", lambda *a, **k: "mark")
    return made


def no_alarm(repo):
    hub = find(str(repo.path))
    assert marks.findings(hub) == []
    assert foreign.stop(hub, "main", Ledger.read(hub).state()) is None


def test_broken_before_every_effect_on_the_file_and_on_refs(make_repo, counter):
    fatal = 1
    while True:
        repo = make_repo(f"repo-{fatal}")
        repo.submit("one", {"one.txt": "1\n"})
        untouched = run(repo, counter, fatal)
        no_alarm(repo)
        if not untouched:
            assert run(repo, counter, 0)
        assert repo.landings() == ["one/1"] and repo.proven().landed == 1
        if untouched:
            break
        fatal += 1
    assert fatal > 15


def harmed(begin, harm):  # noqa: F811
    """A function that makes a fresh copy in which a change has landed, and then somebody did harm."""
    origin = begin(0)
    Repo(origin.path).drain()
    harm(origin)
    assert marks.findings(find(str(origin.path))) or foreign.findings(find(str(origin.path)))
    return origin


@pytest.mark.parametrize(
    "harm",
    [
        lambda repo: [repo.git("update-ref", "-d", ref) for ref in (refnames.STATE, refnames.VERDICTS)],
        lambda repo: repo.git("reset", "-q", "--hard", "main^"),
        lambda repo: repo.git(
            "update-ref", refnames.STATE, repo.hub.objects.write_commit(repo.hub.objects.commit(repo.tip).tree, (), "x\n", 1)
        ),
    ],
    ids=["deleted", "trunk rewound", "in its place"],
)
def test_a_restoration_that_was_broken_is_finished_by_the_same_command(begin, counter, harm):  # noqa: F811
    fatal = 1
    while True:
        repo = harmed(begin, harm)
        counter.arm(fatal)
        try:
            foreign.restore(find(str(repo.path)))
            untouched = True
        except Crash:
            untouched = False
        counter.arm(0)
        foreign.restore(find(str(repo.path)))
        no_alarm(repo)
        lose_salvage(repo)
        holds(repo)  # The checkout of trunk is clean, too.
        if untouched:
            break
        fatal += 1
    assert fatal > 2


def another_bots_ledger(repo):
    """More was written to it elsewhere, and fetched; so were verdicts."""
    objects = repo.hub.objects
    for ref in (refnames.STATE, refnames.VERDICTS):
        tip = repo.git("rev-parse", ref).strip()
        repo.git("update-ref", ref, objects.write_commit(objects.commit(tip).tree, [tip], "elsewhere\n", 1))


def test_an_adoption_that_was_broken_is_finished_by_the_same_command(begin, counter):  # noqa: F811
    def adopt(repo):
        hub = find(str(repo.path))
        if any(odd.ref == refnames.STATE for odd in marks.findings(hub)):
            with locks.acquire(hub.own_path("locks", "bot.lock"), "the bot") as held:
                foreign.adopt_ledger(hub, held)
        return hub

    fatal = 1
    while True:
        repo = harmed(begin, another_bots_ledger)
        wanted = [repo.git("rev-parse", ref).strip() for ref in marks.OWN]
        counter.arm(fatal)
        try:
            adopt(repo)
            untouched = True
        except Crash:
            untouched = False
        counter.arm(0)
        hub = adopt(repo)
        no_alarm(repo)
        assert [marks.tip(hub, ref) for ref in marks.OWN] == wanted
        if untouched:
            break
        fatal += 1
    assert fatal > 3


def lose_salvage(repo):
    """What was in the place of a ref is kept once, not once for each try."""
    kept = repo.refs("refs/agentctl/salvage")
    assert len(kept) <= 1
    for ref in kept:
        repo.git("update-ref", "-d", ref)
