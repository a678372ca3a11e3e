"""Somebody else moves trunk: back, aside, away, or forward where the policy forbids it."""

import json

import pytest

from agentctl.core.queue.events import Adopted
from agentctl.errors import Refused
from agentctl.hub import marks
from tests.support.agents import WORK, add, run, task
from tests.support.hub import Repo, finish, policy, told, until

STOP = {".agentctl/policy.yaml": policy() + "foreign: stop\n"}


@pytest.fixture
def lived(repo):
    """A hub in which one and two have landed, one after the other."""
    for name in ("one", "two"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"})
        repo.drain()
    return repo


def aside(repo, files):
    """Trunk moved to a commit of somebody's own, beside what landed last."""
    made = repo.change(files, "mine, by force", repo.git("rev-parse", "main^").strip())
    repo.git("reset", "-q", "--hard", made)
    return made


def salvaged(repo):
    return set(repo.git("for-each-ref", "--format=%(objectname)", "refs/agentctl/salvage").split())


@pytest.mark.parametrize(
    "move",
    [
        lambda repo: repo.git("reset", "-q", "--hard", "main^"),
        lambda repo: aside(repo, {"mine.txt": "mine\n"}),
        lambda repo: repo.git("update-ref", "refs/heads/main", "main^"),
    ],
    ids=["back", "aside", "the branch alone"],
)
def test_a_bot_that_starts_lands_nothing_until_trunk_is_put_back(lived, move):
    landed = lived.tip
    move(lived)
    other = lived.tip
    lived.submit("three", {"three.txt": "three\n"}, base=landed)
    said = lived.cli("bot", "run", "--once", ok=5)
    assert f"from {landed[:12]} to {other[:12]}" in said.stderr and "nothing lands" in said.stderr
    assert lived.tip == other and lived.stage("three") == "queued"
    assert "nothing lands" in lived.cli("queue").stdout
    assert "nothing lands" in lived.cli("why", "three").stdout
    assert "bot restore" in lived.cli("doctor", ok=9).stdout

    lived.cli("bot", "restore")
    assert lived.git("status", "--porcelain") == ""
    lived.cli("doctor")
    assert lived.cli("bot", "run", "--once").returncode == 0
    assert lived.landings() == ["one/1", "two/1", "three/1"]
    # Neither tip is lost.
    assert lived.git("rev-list", "-n1", other, "^main") == "" or other in salvaged(lived)
    lived.proven()


@pytest.mark.parametrize("running", [False, True])
def test_a_person_takes_trunk_as_it_is(lived, running):
    landed, mine = lived.tip, aside(lived, {"mine.txt": "mine\n"})
    with pytest.raises(Refused, match="nothing lands"):
        with lived.bot() as bot:
            until(bot, lambda: bot.halted)
            raise bot.blocked
    head = lived.submit("three", {"three.txt": "three\n"})
    if running:
        with lived.bot() as bot:
            until(bot, lambda: bot.halted)
            assert "no longer on it: two/1" in lived.cli("bot", "adopt").stdout
            finish(bot)
    else:
        assert "no longer on it: two/1" in lived.cli("bot", "adopt").stdout
        bot = lived.drain()
    assert [event.new for event in bot.heard if isinstance(event, Adopted)] == [mine]
    assert lived.landings() == ["one/1", "three/1"] and lived.record("three").change.head == head
    assert landed in salvaged(lived)
    # It was somebody's word: `verify` tells of it and holds.
    assert "a person took trunk as it is" in lived.cli("verify").stdout
    # What a person has once said does not count for another time.
    lived.git("reset", "-q", "--hard", mine)
    assert "not forward" in lived.cli("bot", "run", "--once", ok=5).stderr


def test_what_is_gone_is_no_longer_said_to_have_landed(lived):
    head = lived.record("two").change.head
    lived.git("reset", "-q", "--hard", "main^")

    def is_gone():
        said = lived.cli("why", "two").stdout
        assert "two/1: gone" in said and "trunk no longer holds" in said
        assert "no longer holds" in lived.cli("wait", "two", ok=5).stderr
        assert lived.cli("queue", "--all").stdout.split()[:2] != ["landed", "two/1"]
        assert json.loads(lived.cli("queue", "--all", "--json").stdout)["gone"] == ["two/1"]

    is_gone()
    assert "two/1: gone" not in lived.cli("why", "one").stdout and "landed as" in lived.cli("wait", "one").stdout
    # As long as it may come back it cannot be submitted anew, and so not land twice.
    assert not lived.hand_in("two", head).new
    said = lived.cli("submit", head, "--change", "two", ok=5).stderr
    assert "two/1 has landed, but somebody else moved trunk" in said and "hint: agentctl bot restore" in said
    assert "neither rejected nor withdrawn" in lived.cli("queue", "retry", "two", ok=5).stderr

    lived.cli("bot", "adopt")
    lived.drain()
    is_gone()
    assert "submitted" in lived.cli("queue", "retry", "two").stdout
    lived.drain()
    assert lived.landings() == ["one/1", "two/2"]
    assert "landed" in lived.cli("wait", "two").stdout
    lived.proven()


def test_a_task_whose_change_is_gone_is_not_done(repo):
    add(repo, "one", "two", {"id": "three", "after": ["two"]})
    run(repo, WORK)
    begin = repo.git("log", "--format=%H", "--grep", "begin", "main").strip()
    repo.git("reset", "-q", "--hard", begin)
    assert {task(repo, name)["status"] for name in ("one", "two", "three")} == {"gone"}
    assert "gone" in repo.cli("task", "list").stdout

    # As long as nobody has spoken nothing is worked on, and nothing is given up.
    said = run(repo, WORK, ok=5).stderr
    assert "nothing lands" in said and "agentctl bot restore" in said
    assert task(repo, "one")["status"] == "gone" and len(task(repo, "one")["sessions"]) == 1

    # Then the supervisor says what came of it, and a person may have it done anew.
    repo.cli("bot", "adopt")
    assert "0 of 3 landed, 3 parked" in run(repo, WORK, ok=7).stdout
    assert "trunk no longer holds" in task(repo, "one")["reason"]
    for name in ("one", "two", "three"):
        repo.cli("task", "open", name)
    assert "3 of 3 landed" in run(repo, WORK).stdout
    assert sorted(repo.landings()) == ["one/2", "three/2", "two/2"]


def test_tasks_whose_change_came_back_have_landed(repo):
    add(repo, "one")
    run(repo, WORK)
    repo.git("reset", "-q", "--hard", "main^")
    assert task(repo, "one")["status"] == "gone"
    repo.cli("bot", "restore")
    assert task(repo, "one")["status"] == "landed"
    assert "1 of 1 landed" in run(repo, "exit 1").stdout


def test_a_supervisor_that_runs_says_what_is_gone(repo):
    # The first task has landed; while the second is worked on its agent rewinds trunk.
    add(repo, "a-first", {"id": "b-second", "after": ["a-first"]})
    rewind = (
        f'test "$AGENTCTL_TASK" = a-first || git --git-dir "$AGENTCTL_HUB" update-ref refs/heads/main refs/heads/main^; {WORK}'
    )
    said = run(repo, rewind, ok=5)
    assert "nothing lands" in said.stderr and "b-second" not in repo.landings()
    assert task(repo, "a-first")["status"] == "gone"
    repo.cli("bot", "restore")
    assert "2 of 2 landed" in run(repo, "exit 1").stdout
    repo.proven()


def test_a_gate_that_moves_trunk_is_noticed_and_the_probe_named(make_repo):
    repo = make_repo(
        gate="if [ -e evil.txt ]; then git --git-dir $(git config remote.origin.url) update-ref refs/heads/main refs/heads/main^; sleep 0.5; fi; true"
    )
    repo.submit("one", {"one.txt": "1\n"})
    repo.drain()
    landed = repo.tip
    repo.submit("evil", {"evil.txt": "evil\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.moved)
        moved = told(bot, "moved")[0]
        assert "while probe " in moved and landed[:12] in moved
        until(bot, lambda: bot.halted)
    assert repo.stage("evil") == "queued" and "while probe" in repo.git("log", "-9", "--format=%B", "refs/agentctl/state")


def test_a_trunk_that_was_deleted_comes_back(make_repo):
    repo = make_repo(bare=True)
    repo.submit("one", {"one.txt": "1\n"})
    repo.drain()
    landed = repo.tip
    with repo.bot() as bot:
        repo.git("update-ref", "-d", "refs/heads/main")
        until(bot, lambda: bot.halted)
        assert "deleted" in bot.blocked.message and bot.blocked.hint == "agentctl bot restore"
    assert "agentctl bot restore" in repo.cli("bot", "run", "--once", ok=3).stderr
    assert "hint: agentctl bot restore" in repo.cli("bot", "adopt", ok=5).stderr
    repo.cli("bot", "restore")
    assert repo.tip == landed
    repo.proven()


def test_a_trunk_without_a_policy_comes_back(lived):
    # Rewound to before there was one, every command but these would only ask for `init`.
    landed = lived.tip
    bare = lived.change({".agentctl/policy.yaml": None}, "no policy")
    root = lived.hub.objects.write_commit(lived.hub.objects.commit(bare).tree, (), "another beginning\n", 1)
    lived.git("reset", "-q", "--hard", root)
    said = lived.cli("bot", "run", "--once", ok=3).stderr
    assert f"the bot left trunk at {landed[:12]}" in said and "hint: agentctl bot restore" in said
    assert "agentctl bot restore" in lived.cli("doctor", ok=9).stdout
    lived.cli("bot", "restore")
    assert lived.tip == landed and root in salvaged(lived)
    lived.proven()


# forward


def test_a_forward_move_is_refused_where_the_policy_says_so(make_repo):
    repo = make_repo(files=STOP)
    repo.submit("one", {"one.txt": "1\n"})
    repo.drain()
    landed = repo.tip
    pushed = repo.push({"theirs.txt": "theirs\n"})
    repo.submit("two", {"two.txt": "2\n"}, base=landed)
    said = repo.cli("bot", "run", "--once", ok=5).stderr
    assert "foreign: stop" in said and pushed[:12] in said
    assert "bot restore" in repo.cli("verify", ok=9).stdout

    repo.cli("bot", "adopt")
    repo.drain()
    assert repo.git("rev-parse", "main^").strip() == pushed
    repo.proven()

    # Or it goes back: the pushed commit is kept.
    pushed = repo.push({"more.txt": "more\n"})
    repo.cli("bot", "restore")
    assert repo.tip == repo.record("two").commit and pushed in salvaged(repo)
    assert not (repo.path / "more.txt").exists() and repo.git("status", "--porcelain") == ""


def test_the_policy_in_force_decides_not_the_one_that_was_pushed(make_repo):
    repo = make_repo(files=STOP)
    repo.drain()
    repo.push({".agentctl/policy.yaml": policy()})
    assert "foreign: stop" in repo.cli("bot", "run", "--once", ok=5).stderr
    repo.cli("bot", "adopt")
    repo.drain()
    repo.push({"theirs.txt": "theirs\n"})
    repo.drain()
    repo.proven()


def test_nothing_is_restored_that_was_adopted_by_itself(lived):
    pushed = lived.push({"theirs.txt": "theirs\n"})
    assert "as the bot left them" in lived.cli("bot", "restore").stdout
    assert lived.tip == pushed
    lived.cli("doctor")


def test_checkouts_follow_a_branch_that_was_moved_alone(lived):
    # An agent's `git update-ref` leaves the files of the person's checkout behind.
    new = lived.change({"theirs.txt": "theirs\n"})
    lived.git("update-ref", "refs/heads/main", new)
    lived.submit("three", {"three.txt": "three\n"})
    lived.drain()
    assert (lived.path / "theirs.txt").exists() and (lived.path / "three.txt").exists()
    assert lived.git("status", "--porcelain") == ""
    lived.proven()


def test_what_the_bot_knew_is_gone_for_good(make_repo):
    repo = make_repo(bare=True)
    repo.submit("one", {"one.txt": "1\n"})
    repo.drain()
    landed, begin = repo.tip, repo.git("rev-parse", "main^").strip()
    repo.git("update-ref", "refs/heads/main", begin)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    assert not repo.hub.objects.exists(landed)
    said = repo.cli("bot", "run", "--once", ok=5).stderr
    assert "no longer in the repository" in said and "hint: agentctl bot adopt" in said
    assert "bot adopt" in repo.cli("bot", "restore", ok=5).stderr
    repo.cli("bot", "adopt")
    repo.submit("two", {"two.txt": "2\n"})
    repo.drain()
    assert repo.landings() == ["two/1"] and marks.read(repo.hub).adopt == ""


def test_a_clone_says_of_its_own_trunk_what_it_holds(lived, tmp_path):
    lived.git("clone", "-q", str(lived.path), str(tmp_path / "clone"))
    there = Repo(tmp_path / "clone")
    there.git("fetch", "-q", "origin", "+refs/agentctl/*:refs/agentctl/*")
    said = there.cli("queue", "--all").stdout
    assert "landed  one/1" in said and "landed  two/1" in said and "gone" not in said
    there.git("reset", "-q", "--hard", "main^")
    assert json.loads(there.cli("queue", "--all", "--json").stdout)["gone"] == ["two/1"]
    there.git("checkout", "-q", "--detach")
    there.git("branch", "-D", "main")
    assert json.loads(there.cli("queue", "--all", "--json").stdout)["gone"] == [], "no branch is known to be trunk"
