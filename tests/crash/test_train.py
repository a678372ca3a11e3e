"""The landing of a train's rest broken before each of its effects: the next bot finishes it."""

from functools import partial

from tests.crash.test_landing import Counter, broken
from tests.support.hub import Repo
from tests.support.train import admitted, judged, land, started


def half_way(repo):
    """A bot for which a and b have passed together, and a has landed alone."""
    for name in ("a", "b"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"})
    repo.trunk_judged()
    begin = repo.tip
    bot = repo.bot()
    here = bot.__enter__()
    admitted(here)
    short, long = started(here, 7, begin, "a"), started(here, 8, begin, "a", "b")
    judged(here, short, long)
    land(here, short)
    return bot, here, long


def test_broken_before_every_effect(make_repo, monkeypatch):
    counter, fatal = Counter(monkeypatch), 1
    while True:
        repo = make_repo(f"repo-{fatal}", slots=4)
        context, bot, long = half_way(repo)
        more = broken(counter, fatal, context, bot, partial(land, bot, long))
        Repo(repo.path).drain()
        assert repo.stages() == {"a/1": "landed", "b/1": "landed"}
        assert repo.landings() == ["a/1", "b/1"]
        assert repo.proven().landed == 2
        assert repo.git("status", "--porcelain") == "" and (repo.path / "b.txt").exists()
        assert repo.refs() == ["refs/agentctl/state", "refs/agentctl/verdicts"]
        if not more:
            break
        fatal += 1
    assert fatal > 5
