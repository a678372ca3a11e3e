"""One agent fills the inbox: the others are heard in the first turn all the same."""

import pytest

from agentctl import cli
from agentctl.bot import border
from agentctl.core.queue import inbox_turns
from agentctl.hub import inbox
from tests.support.hub import finish, until

FLOOD = 230


def flooded(repo, oids):
    fill = repo.hub.refs.transaction("flood")
    for n, oid in enumerate(oids):
        fill.create(f"refs/agentctl/inbox/evil/a-{n:05}/1", oid)
    fill.commit()


def changes(repo, count):
    objects, tip = repo.hub.objects, repo.tip
    tree = objects.commit(tip).tree
    return [objects.write_commit(objects.replace(tree, {f"{n}.txt": b"x"}), [tip], f"{n}\n", n) for n in range(count)]


@pytest.mark.parametrize("what", ["changes", "junk", "broken"])
def test_ten_honest_changes_beside_many_refs(repo, what):
    objects = repo.hub.objects
    flooded(
        repo,
        changes(repo, FLOOD)
        if what == "changes"
        else [objects.write_tag(repo.tip, "t", '{"priority": true}', n) for n in range(FLOOD)]
        if what == "junk"
        else [objects.write_commit(f"{n:040x}", [repo.tip], "x\n", n) for n in range(1, FLOOD + 1)],
    )
    for n in range(10):
        repo.submit(f"z-{n}", {f"z{n}.txt": "z\n"}, agent=f"ann-{n}")
    with repo.bot() as bot:
        bot.take_turn()
        seen = {f"z-{n}/1" for n in range(10)}
        assert seen <= bot.state.queue.keys() | {r.key for r in bot.ledger.ended()}
        # Of the flood no more than its part; the next turn comes at once.
        assert len(repo.refs("refs/agentctl/inbox")) == FLOOD - border.EACH and bot.wake.is_set()
        until(bot, lambda: {repo.stage(f"z-{n}") for n in range(10)} == {"landed"})
        until(bot, lambda: not inbox.waits(repo.hub))
        finish(bot)
    assert (
        sum(
            stage == ("landed" if what == "changes" else "rejected")
            for key, stage in repo.stages().items()
            if key.startswith("a-")
        )
        == FLOOD
    )
    repo.proven()


def test_of_one_agent_a_bounded_number_is_queued(repo, monkeypatch, capsys):
    monkeypatch.setattr(inbox_turns, "MOST_QUEUED", 5)
    repo.cli("queue", "pause", "--below", "1000")
    flooded(repo, changes(repo, 12))
    repo.submit("z", {"z.txt": "z\n"}, agent="ann")
    with repo.bot() as bot:
        for _ in range(3):
            bot.take_turn()
        queued = [record.change.agent for record in bot.state.queue.values()]
        assert (queued.count("evil"), queued.count("ann")) == (5, 1)
        waiting = next(name for name in (f"a-{n:05}" for n in range(12)) if repo.stage(name) == "waiting")
        assert cli.run(["-C", str(repo.path), "why", waiting]) == 0
        assert "5 changes of evil are queued" in capsys.readouterr().out
        repo.cli("queue", "resume")
        finish(bot)
    assert set(repo.stages().values()) == {"landed"} and len(repo.stages()) == 13


def test_who_has_all_its_room_taken_may_take_back_and_mend_what_is_queued(repo, monkeypatch):
    monkeypatch.setattr(inbox_turns, "MOST_QUEUED", 3)
    repo.cli("queue", "pause", "--below", "1000")
    flooded(repo, changes(repo, 6))
    with repo.bot() as bot:
        until(bot, lambda: len(bot.state.queue) == 3)
        # What waits for room keeps nobody awake.
        bot.take_turn()
        assert not bot.wake.is_set()
        one, two, three = (record.change.id for record in bot.state.queue.values())
        inbox.withdraw(repo.hub, one, "evil")
        newer = repo.change({f"{two}.txt": "newer\n"})
        repo.hand_in(two, newer, agent="evil")
        bot.take_turn()
        assert repo.stage(one) == "withdrawn" and bot.state.queue[f"{two}/2"].change.head == newer
        repo.cli("queue", "resume")
        finish(bot)
    assert sorted(repo.stages().values()).count("landed") == 5
