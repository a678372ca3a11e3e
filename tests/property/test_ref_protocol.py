"""Random histories of a queue on real Git against a small model: whatever people and bots
do, each submission is waiting, queued, or has ended in exactly one way."""

import shutil
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agentctl.core import refnames
from agentctl.errors import Refused
from agentctl.hub import inbox
from agentctl.hub.ledger import Ledger
from tests.support.hub import Repo, finish

NAMES = ("ant", "bee", "cat")

steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(NAMES), st.sampled_from(["good", "good", "BUG"])),
        st.tuples(st.just("resubmit"), st.sampled_from(NAMES)),
        st.tuples(st.just("withdraw"), st.sampled_from(NAMES)),
        st.tuples(st.just("push")),
        st.tuples(st.just("take_turn")),
        st.tuples(st.just("take_turn")),
        st.tuples(st.just("restart")),
    ),
    min_size=3,
    max_size=14,
)


@dataclass
class Model:
    """What was asked for; how it ends is the bot's business, within these bounds."""

    heads: dict[str, str] = field(default_factory=dict)
    """By key, of what was submitted as new."""
    content: dict[str, str] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    """Names that were ever withdrawn."""
    ended: dict[str, str] = field(default_factory=dict)
    """As first seen. An end is for good."""

    def newest(self, name):
        return max(
            (key for key in self.heads if key.startswith(name + "/")), default=None, key=lambda key: int(key.split("/")[1])
        )


class World:
    def __init__(self, path):
        self.repo, self.model, self.count, self.pushed = Repo(path), Model(), 0, []

    def submit(self, bot, name, word):
        self.count += 1
        head = self.repo.change({f"{name}.txt": f"{word} {self.count}\n"}, f"{name} {self.count}")
        receipt = self.repo.hand_in(name, head)
        assert receipt.new and receipt.key not in self.model.heads
        self.model.heads[receipt.key], self.model.content[receipt.key] = head, word

    def resubmit(self, bot, name):
        key = self.model.newest(name)
        if not key:
            return
        receipt = self.repo_hand_in(name, self.model.heads[key])
        if receipt and receipt.new:
            assert receipt.key not in self.model.heads
            self.model.heads[receipt.key] = self.model.heads[key]
            self.model.content[receipt.key] = self.model.content[key]

    def repo_hand_in(self, name, head):
        try:
            return self.repo.hand_in(name, head)
        except Refused:
            return None

    def withdraw(self, bot, name):
        if not self.model.newest(name):
            return
        try:
            inbox.withdraw(self.repo.hub, name)
            self.model.withdrawn.add(name)
        except Refused:
            pass

    def push(self, bot):
        self.count += 1
        self.pushed.append(self.repo.push({"pushed.txt": f"{self.count}\n"}))

    def take_turn(self, bot):
        bot.take_turn()
        bot.wake.wait(0.05)

    def check(self):
        """One listing of refs and one ledger: every submission stands in exactly one place."""
        listed = self.repo.hub.refs.read([refnames.INBOX])
        waiting = {r.key for r in inbox.requests(listed) if r.waits}
        ledger = Ledger.read(self.repo.hub)
        queued, ended = set(ledger.state().queue), {r.key: str(r.stage) for r in ledger.ended()}
        places = Counter([*(waiting - queued - ended.keys()), *queued, *ended])
        assert {key for key in places if places[key] > 1} == set()
        assert self.model.heads.keys() <= places.keys()
        names = Counter(key.split("/")[0] for key in queued)
        assert max(names.values(), default=0) <= 1
        assert self.model.ended.items() <= ended.items()
        self.model.ended = ended

    def settled(self):
        ended, content = self.model.ended, self.model.content
        assert self.model.heads.keys() <= ended.keys()
        landed = {key for key, stage in ended.items() if stage == "landed"}
        assert sorted(self.repo.landings()) == sorted(landed)
        for key in self.model.heads:
            stage, name = ended[key], key.split("/")[0]
            assert not (stage == "landed" and content[key] == "BUG")
            assert stage != "withdrawn" or name in self.model.withdrawn
            assert stage != "superseded" or key != self.model.newest(name) or name in self.model.withdrawn
        for commit in self.pushed:
            assert self.repo.git("merge-base", "--is-ancestor", commit, "main") == ""
        self.repo.proven()


@pytest.fixture
def origin(make_repo):
    repo = make_repo("origin", bare=True)
    repo.drain()
    return repo


def test_every_submission_ends_in_exactly_one_way(origin, tmp_path):
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(steps)
    def history(steps):
        shutil.rmtree(tmp_path / "world.git", ignore_errors=True)
        shutil.copytree(origin.path, tmp_path / "world.git")
        play(World(tmp_path / "world.git"), list(steps))

    history()


def play(world, steps):
    while steps:
        with world.repo.bot() as bot:
            while steps:
                word, *rest = steps.pop(0)
                if word == "restart":
                    break
                getattr(world, word)(bot, *rest)
                world.check()
    with world.repo.bot() as bot:
        finish(bot)
    world.check()
    world.settled()
