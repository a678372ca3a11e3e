"""A pass that follows trunk, broken before each effect of its landing: the next bot finishes it."""

from tests.crash.test_landing import Counter, broken
from tests.support.hub import Repo, until

POLICY = """\
version: 1
gates:
  - {name: slow, run: echo slow >>../../../runs, paths: ["slow/**"]}
  - {name: fast, run: echo fast >>../../../runs, paths: ["fast/**"]}
protect: []
"""


def about_to_land(repo):
    """A bot with what passed, on a trunk that was moved since: it has to be built again."""
    repo.submit("a", {"slow/a": "a\n"})
    repo.cli("queue", "pause")
    context = repo.bot()
    bot = context.__enter__()
    until(bot, lambda: bot.halted)
    repo.push({"README": "moved\n"})
    repo.cli("queue", "resume")
    return context, bot


def test_broken_before_every_effect(make_repo, monkeypatch, tmp_path):
    counter, fatal, more = Counter(monkeypatch), 1, True
    while more:
        repo = make_repo(f"repo-{fatal}", files={".agentctl/policy.yaml": POLICY})
        context, bot = about_to_land(repo)
        more = broken(counter, fatal, context, bot, bot.take_turn)
        Repo(repo.path).drain()
        assert (repo.stages(), repo.landings()) == ({"a/1": "landed"}, ["a/1"])
        assert repo.proven().landed == 1
        assert repo.git("status", "--porcelain") == "" and (repo.path / "slow/a").exists()
        assert repo.refs() == ["refs/agentctl/state", "refs/agentctl/verdicts"]
        # Trunk was judged by both gates, the change by one, and neither was run again.
        assert (tmp_path / "runs").read_text().split() == ["slow", "fast", "slow"] * fatal
        fatal += 1
    assert fatal > 6
