"""A hub on a remote: each clone is a station, and what the remote has is what counts."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from subprocess import PIPE
from types import SimpleNamespace

import pytest

from agentctl.bot import reach
from agentctl.bot.lock import lock
from agentctl.cluster.remote_gates import RemoteGate
from agentctl.core.queue.model import Verdict
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session
from agentctl.engine.local import LOCAL
from agentctl.errors import Contended, NotFound, Refused
from agentctl.fleet.takeover import end_claims
from agentctl.git import transactions
from agentctl.git.remote import Away, Declined
from agentctl.git.repository import find
from agentctl.git.station import MANY
from agentctl.hub import claims, foreign, lease, presence, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.policy_file import in_force, read_policy
from agentctl.hub.verdicts import Judgement
from bench.git_servers import serving
from tests.conftest import CONNECT, NOWHERE, forget
from tests.support.agents import task
from tests.support.hub import PATIENCE, Repo, cli, command, environment, eventually, finish, git, policy, told, until
from tests.support.team import Team


@pytest.fixture
def team(tmp_path):
    return Team(tmp_path)


@pytest.fixture
def ann(team):
    return team.station("ann")


@pytest.fixture
def bob(team):
    return team.station("bob")


JOINED = policy().replace("trunk: main", "trunk: main\nremote: origin")


# one queue for all


def test_one_submits_and_another_lands(team, ann, bob):
    git(ann.path, "checkout", "-q", "-b", "fix")
    (ann.path / "new").write_text("new\n")
    git(ann.path, "add", "new")
    git(ann.path, "commit", "-q", "-m", "fix it")
    assert "fix/1: submitted" in ann.cli("submit").stdout
    assert "refs/agentctl/inbox/ann/fix/1" in team.refs
    assert "landed 1" in bob.cli("bot", "run", "--once").stdout
    assert "landed as" in ann.cli("wait", "fix").stdout
    assert git(team.path, "show", "main:new") == "new\n"
    assert "all invariants hold" in ann.cli("verify").stdout
    # A station's own trunk follows, and its files.
    assert (bob.path / "new").read_text() == "new\n"
    assert git(bob.path, "rev-parse", "main") == git(bob.path, "rev-parse", "origin/main")


def test_a_fresh_clone_proves_all(team, ann):
    ann.submit("fix", {"a": "1\n"})
    ann.submit("bad", {"b": "BUG\n"})
    ann.drain()
    shutil.rmtree(ann.path)
    carl = team.station("carl")
    assert "1 landed" in carl.cli("verify").stdout
    assert carl.stages() == {"fix/1": "landed", "bad/1": "rejected"}


def test_a_landing_is_one_push_of_trunk_and_ledger(team, ann):
    team.hook("post-receive", f"sort >> {team.folder}/pushes; echo >> {team.folder}/pushes\n")
    ann.submit("fix", {"a": "1\n"})
    ann.trunk_judged()
    ann.drain()
    pushes = (team.folder / "pushes").read_text().split("\n\n")
    (landing,) = [push for push in pushes if "refs/heads/main" in push]
    assert "refs/agentctl/state" in landing


def test_a_clone_joins_by_the_policy_that_is_checked_out(team):
    team.push({".agentctl/policy.yaml": JOINED})
    carl = team.clone("carl")
    carl.cli("task", "add", "Count the words", "--id", "count")
    assert "refs/agentctl/tasks/count" in team.refs
    assert git(carl.path, "config", "agentctl.remote") == "origin\n"


def test_many_refs_that_are_new_are_packed_here(team, ann):
    names = [f"refs/agentctl/tasks/t-{n:03}" for n in range(MANY)]
    made = "".join(f"create {name} {team.tip}\n" for name in names)
    subprocess.run(["git", "update-ref", "--stdin"], cwd=team.path, input=made, text=True, check=True)
    ann.hub.refs.refresh()
    packed = (ann.path / ".git/packed-refs").read_text()
    assert packed.count(" refs/agentctl/tasks/t-") == packed.count(" refs/agentctl-seen/agentctl/tasks/t-") == MANY
    assert ann.refs("refs/agentctl/tasks/") == names


def test_a_shallow_clone_is_deepened(team):
    team.push({".agentctl/policy.yaml": JOINED})
    team.push({"a": "1\n"})
    git(team.folder, "clone", "-q", "--depth=1", f"file://{team.path}", "carl")
    cli("queue", cwd=team.folder / "carl")
    assert not (team.folder / "carl/.git/shallow").exists()


def test_a_hub_moves_to_a_remote_with_all_that_it_has(make_repo, tmp_path):
    repo = make_repo()
    repo.cli("task", "add", "Count the words", "--id", "count")
    repo.submit("fix", {"a": "1\n"})
    git(tmp_path, "init", "-q", "--bare", "far.git")
    git(repo.path, "remote", "add", "far", str(tmp_path / "far.git"))
    git(repo.path, "push", "-q", "far", "main")
    repo.cli("init", "--remote", "far")
    listed = git(tmp_path / "far.git", "for-each-ref", "--format=%(refname)").split()
    assert "refs/agentctl/tasks/count" in listed
    assert "refs/agentctl/inbox/ann/fix/1" in listed
    repo.cli("bot", "run", "--once")
    assert git(tmp_path / "far.git", "show", "main:a") == "1\n"


def test_two_hubs_are_not_made_one(team, ann, make_repo):
    repo = make_repo()
    repo.cli("task", "add", "Count the words", "--id", "count")
    ann.cli("task", "add", "Count the lines", "--id", "lines")
    git(repo.path, "remote", "add", "far", str(team.path))
    refused = repo.cli("init", "--remote", "far", ok=5)
    assert "are two hubs" in refused.stderr
    assert repo.refs("refs/agentctl/tasks/") == ["refs/agentctl/tasks/count"]


def test_a_remote_that_there_is_not(ann):
    assert "git remote add" in ann.cli("init", "--remote", "nowhere", ok=4).stderr


def test_a_relative_path_leads_where_it_leads_the_users_git(team):
    clone = team.clone("carl")
    git(clone.path, "remote", "set-url", "origin", "../hub.git")
    clone.cli("init", "--remote", "origin")
    cli("task", "add", "Count the words", "--id", "count", cwd=clone.path / ".agentctl")
    assert "refs/agentctl/tasks/count" in team.refs
    assert find(str(clone.path)).station.remote.url == str(team.path)


# people


def test_a_colleagues_push_is_adopted_and_work_is_redone_on_it(team, ann):
    ann.submit("fix", {"a": "1\n"})
    with ann.bot() as bot:
        until(bot, lambda: bot.state.queue)
        pushed = team.push({"b": "2\n"})
        finish(bot)
    assert told(bot, "adopted")
    assert ann.record("fix").stage == "landed"
    assert git(team.path, "merge-base", "--is-ancestor", pushed, "main") == ""
    assert (git(team.path, "show", "main:a"), git(team.path, "show", "main:b")) == ("1\n", "2\n")
    ann.proven()


def test_a_push_between_the_look_and_the_landing_wins(team, ann):
    """The bot's own push is refused; it looks again, and tests anew."""
    ann.submit("fix", {"a": "1\n"})
    with ann.bot() as bot:
        real, pushed = bot.following.landed, []

        def landed(turn, under_way):
            if not pushed:
                pushed.append(team.push({"b": "2\n"}))
            real(turn, under_way)

        bot.following.landed = landed
        finish(bot)
    assert ann.stages() == {"fix/1": "landed"}
    assert git(team.path, "rev-list", "--count", f"{pushed[0]}..main").strip() == "1"
    ann.proven()


def test_a_force_push_stops_landings_until_a_person_decides(team, ann):
    ann.submit("fix", {"a": "1\n"})
    ann.drain()
    landed = team.tip
    git(team.path, "update-ref", "refs/heads/main", f"{landed}~1")
    ann.submit("more", {"c": "1\n"}, base=landed)
    assert "and not forward" in ann.cli("bot", "run", "--once", ok=5).stderr
    ann.cli("bot", "restore")
    assert team.tip == landed
    ann.cli("bot", "run", "--once")
    assert git(team.path, "show", "main:c") == "1\n"


def test_a_deleted_trunk_is_told_and_put_back(team, ann):
    ann.submit("fix", {"a": "1\n"})
    ann.drain()
    landed = team.tip
    git(team.path, "update-ref", "-d", "refs/heads/main")
    assert "hint: agentctl bot restore" in ann.cli("bot", "run", "--once", ok=3).stderr
    ann.cli("bot", "restore")
    assert team.tip == landed


HOLDS = "touch {0}/begun; until [ -e {0}/ends ]; do sleep 0.05; done; echo 1 >one; git add one; git commit -qm one"


@pytest.mark.parametrize("bot", [False, True])
def test_sessions_hand_in_while_trunk_is_gone_and_the_way_back_is_told(team, ann, tmp_path, bot):
    ann.submit("fix", {"a": "1\n"})
    ann.drain()
    landed = team.tip
    ann.cli("task", "add", "--id", "one", "one")
    argv = command("run", "-n", "1", *([] if bot else ["--no-bot"]), "--", "sh", "-c", HOLDS.format(tmp_path))
    run = subprocess.Popen(argv, cwd=ann.path, env=environment(), stdout=PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        eventually((tmp_path / "begun").exists)
        git(team.path, "branch", "-M", "main", "primary")
        ann.hub.refs.refresh()
        assert foreign.tip(ann.hub, "main") == landed
        (tmp_path / "ends").touch()
        handed_in = f"refs/agentctl/inbox/{ann.hub.place}-1/one/1"
        eventually(lambda: handed_in in team.refs or ann.seen.stages().get("one/1") == "queued")
        if bot:
            said = run.communicate(timeout=PATIENCE)[0]
            assert run.returncode == 5 and "hint: agentctl bot restore" in said
        ann.cli("bot", "restore")
        ann.cli("bot", "run", "--once")
        if not bot:
            said = run.communicate(timeout=PATIENCE)[0]
            assert run.returncode == 0, said
    finally:
        run.kill()
        run.communicate()
    assert git(team.path, "show", "main:one") == "1\n"
    assert [session["end"] for session in task(ann, "one")["sessions"]] == ["submitted"]


def test_a_trunk_that_is_gone_with_all_that_was_on_it_is_told(team, ann):
    with pytest.raises(NotFound, match="no branch 'gone'"):
        foreign.tip(ann.hub, "gone")
    ann.submit("fix", {"a": "1\n"})
    ann.drain()
    git(team.path, "update-ref", "-d", "refs/heads/main")
    ann.hub.refs.refresh()
    lost = foreign.Move("1" * 40, "", False, True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(foreign, "look", lambda *_: lost)
        with pytest.raises(Refused, match="no longer in the repository") as caught:
            foreign.tip(ann.hub, "main")
    assert caught.value.hint == "agentctl bot adopt"


def test_gates_on_a_cluster_go_on_while_trunk_is_gone(team, ann):
    ann.submit("fix", {"a": "1\n"})
    ann.drain()
    landed = team.tip
    git(team.path, "update-ref", "-d", "refs/heads/main")
    ann.hub.refs.refresh()
    asked = []

    class Engine:
        def carry_out(self, act, order, *_):
            asked.append(order.landed)
            return Judgement(Verdict.PASSED, "", order.commit, "", 0.0, 0.0)

    policy = read_policy(ann.hub, landed)
    RemoteGate(Engine()).judge(ann.hub, policy, ann.change({"b": "1\n"}, base=landed), frozenset(), landed, False)
    assert asked == [landed]


def test_a_station_without_a_bot_puts_a_deleted_trunk_back_by_the_ledger(team, ann, bob):
    ann.submit("fix", {"a": "1\n"})
    ann.drain()
    landed = team.tip
    assert "fix" in bob.cli("queue", "--all").stdout
    git(team.path, "update-ref", "-d", "refs/heads/main")
    assert "hint: agentctl bot restore" in bob.cli("bot", "run", "--once", ok=3).stderr
    assert "mend: agentctl bot restore" in (said := bob.cli("doctor", ok=9).stdout) and "broken ref" not in said
    assert bob.cli("bot", "restore").stdout == f"main is back at {landed[:12]}\n"
    assert team.tip == landed


def test_commits_of_ones_own_keep_a_branch_where_it_is(team, ann, bob):
    git(bob.path, "commit", "-q", "--allow-empty", "-m", "mine")
    mine = git(bob.path, "rev-parse", "main")
    ann.submit("fix", {"a": "1\n"})
    bob.drain()
    assert git(bob.path, "rev-parse", "main") == mine
    assert git(team.path, "show", "main:a") == "1\n"


def test_what_a_person_has_in_a_file_stays(team, ann, bob):
    (bob.path / "README").write_text("mine\n")
    ann.submit("fix", {"README": "theirs\n"})
    bob.drain()
    assert (bob.path / "README").read_text() == "mine\n"
    assert git(team.path, "show", "main:README") == "theirs\n"


# one bot


def test_a_hub_has_one_bot(ann, bob):
    with ann.bot():
        holder = lease.Lease(time.time() + 50, {"host": "elsewhere", "pid": 7})
        put_lease(ann, holder)
        refused = bob.cli("bot", "run", ok=8)
        assert "a bot works at this hub already: process 7 on elsewhere" in refused.stderr
        assert "there is nothing to do here" in bob.cli("bot", "run", "--once").stdout


def test_a_clone_has_one_bot(ann):
    with ann.bot():
        assert "there is nothing to do here" in ann.cli("bot", "run", "--once").stdout
        assert "a bot works at this hub already: process" in ann.cli("bot", "run", ok=8).stderr


def test_a_bot_gives_its_lease_back(team, ann):
    ann.cli("bot", "run", "--once")
    assert "refs/agentctl/bot" not in team.refs


def test_the_lease_of_a_dead_process_here_is_taken_at_once(team, ann, bob):
    put_lease(ann, lease.Lease(time.time() + 50, {**lease.owner.identity(), "started": 1.0}))
    bob.cli("bot", "run", "--once")


def test_a_lease_that_is_over_is_taken_after_a_watch(ann, bob, monkeypatch):
    monkeypatch.setattr(lease, "LASTS", 0.3)
    monkeypatch.setattr(lease, "WATCH", 0.1)
    put_lease(ann, lease.Lease(1.0, {"host": "elsewhere", "pid": 7}))
    with lock(bob.hub):
        assert lease.read(bob.hub, bob.hub.refs.get("refs/agentctl/bot")).owner["host"] != "elsewhere"


@pytest.mark.parametrize("until", [9e10, 1e15])
def test_a_lease_that_would_never_end_is_taken_after_a_watch(ann, bob, monkeypatch, until):
    # A clock was wrong, or somebody forged it.
    monkeypatch.setattr(lease, "LASTS", 0.3)
    monkeypatch.setattr(lease, "WATCH", 0.1)
    put_lease(ann, lease.Lease(until, {"host": "elsewhere", "pid": 7}))
    with lock(bob.hub):
        assert lease.read(bob.hub, bob.hub.refs.get("refs/agentctl/bot")).owner["host"] != "elsewhere"


def test_a_lease_that_is_renewed_by_a_fast_clock_is_another_bots(ann, bob, monkeypatch):
    monkeypatch.setattr(lease, "LASTS", 5.0)
    monkeypatch.setattr(lease, "WATCH", 0.1)
    put_lease(ann, lease.Lease(time.time() + 300, {"host": "elsewhere", "pid": 7}))

    def renewed(seconds):
        put_lease(ann, lease.Lease(time.time() + 301, {"host": "elsewhere", "pid": 7}))

    monkeypatch.setattr(lease, "time", SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=renewed))
    with pytest.raises(lease.Elsewhere), lock(bob.hub):
        pass


def test_a_bot_looks_again_once_others_of_its_station_have_reached_the_hub(team, ann, monkeypatch):
    monkeypatch.setattr(reach, "FIRST_PAUSE", 1000.0)
    with ann.bot() as bot:
        bot.take_turn()
        ann.submit("a", {"a": "1\n"})
        os.rename(team.path, team.folder / "gone")
        until(bot, lambda: told(bot, "away"))
        os.rename(team.folder / "gone", team.path)
        ann.cli("queue")
        until(bot, lambda: ann.stage("a") == "landed")


def test_a_job_does_not_wait_for_a_remote_that_goes_on_refusing(team, ann, monkeypatch):
    team.hook("update", 'test "$1" != refs/heads/main || { echo main is frozen; exit 1; }\n')
    ann.submit("a", {"a": "1\n"})
    assert "declines refs/heads/main: main is frozen" in ann.cli("bot", "run", "--once", ok=125).stderr
    team.hook("update", "")
    ann.cli("bot", "run", "--once")


def test_a_result_that_the_hub_declines_stays_here_and_a_person_is_asked(team, ann):
    team.hook("update", 'case "$1" in refs/agentctl/inbox/*|refs/agentctl/salvage/*) echo no such files here; exit 1;; esac\n')
    ann.cli("task", "add", "--id", "one", "one")
    ann.cli("spawn", "bob", "--task", "one", "--", "sh", "-c", "echo 1 >one; git add one; git commit -qm one", ok=1)
    (session,) = task(ann, "one")["sessions"]
    assert session["end"] == "blocked" and "no such files here" in session["note"]
    assert task(ann, "one")["status"] == "parked"
    (aside,) = os.listdir(ann.hub.worktrees + "/aside")
    assert f"its work stays in {ann.hub.worktrees}/aside/{aside}" in session["note"]
    assert (ann.path.parent / f"{ann.path.name}.agentctl/aside" / aside / "one").read_text() == "1\n"
    # Its commits are kept here too, and named to whoever goes on.
    kept = session["salvage"]
    assert git(ann.path, "show", f"{kept}:one") == "1\n" and kept not in team.refs
    said = " ".join(ann.cli("doctor", ok=9).stdout.split())
    assert f"aside/{aside} holds the work of bob on one that could not be handed in: agentctl task show one" in said
    assert f"once its cause is mended: agentctl task open one, whose next session is told of {kept}, where it is kept too" in said
    team.hook("update", "")
    ann.cli("task", "open", "one")
    script = f'case "$0" in *{kept}*) git cherry-pick {kept};; *) exit 1;; esac'
    ann.cli("spawn", "bob", "--task", "one", "--", "sh", "-c", script, "{prompt}")
    assert task(ann, "one")["sessions"][-1]["end"] == "submitted"
    assert "look into it, take what you need, and delete it" in " ".join(ann.cli("doctor", ok=9).stdout.split())


def test_a_lock_that_a_killed_git_left_at_the_hub_is_told(team, ann, monkeypatch):
    monkeypatch.setattr(reach, "PASSING", 0.5)
    with ann.bot() as bot:
        bot.take_turn()
        ann.submit("a", {"a": "1\n"})
        (team.path / "refs/heads/main.lock").touch()
        until(bot, lambda: told(bot, "away"))
        assert "main" in told(bot, "away")[0]
        (team.path / "refs/heads/main.lock").unlink()
        until(bot, lambda: ann.seen.stage("a") == "landed")
        assert told(bot, "back")


def test_a_clone_with_a_queue_of_its_own_says_so(team, ann):
    git(ann.path, "pull", "-q")
    (ann.path / ".agentctl/policy.yaml").write_text(JOINED)
    git(ann.path, "commit", "-q", "-am", "join")
    git(ann.path, "push", "-q", "origin", "HEAD:main")
    ann.seen.submit("a", {"a": "1\n"})
    git(team.folder, "clone", "-q", str(team.path), "other")
    git(team.folder / "other", "fetch", "-q", "origin", "+refs/agentctl/*:refs/agentctl/*")
    said = cli("queue", cwd=team.folder / "other").stderr
    assert "it has a queue of its own: agentctl init --remote origin" in said
    cli("init", "--remote", "origin", cwd=team.folder / "other")
    assert cli("queue", cwd=team.folder / "other").stderr == ""


def test_the_first_push_comes_before_init(team, tmp_path):
    git(team.path, "update-ref", "-d", "refs/heads/main")
    repo = Repo.create(tmp_path / "new")
    git(repo.path, "rm", "-q", "-r", ".agentctl")
    git(repo.path, "commit", "-q", "-m", "no policy yet")
    git(repo.path, "remote", "add", "origin", str(team.path))
    said = repo.cli("init", "--gate", "true", "--remote", "origin", ok=4).stderr
    assert "origin has no branch 'main' yet" in said and "git push -u origin main" in said


def test_a_clone_that_is_behind_is_well(team, ann, bob):
    git(bob.path, "pull", "-q")
    ann.submit("a", {"a": "1\n"})
    ann.drain()
    (bob.path / "README").write_text("mine\n")
    bob.cli("doctor")
    bob.cli("doctor", "--mend", "all")
    assert git(bob.path, "status", "--short") == " M README\n"


def test_whoever_asks_hears_that_trunk_was_moved_back(team, ann, bob):
    ann.submit("a", {"a": "1\n"})
    ann.drain()
    bob.hub.refs.refresh()
    git(team.path, "update-ref", "refs/heads/main", "main~1")
    with ann.bot() as bot:
        bot.take_turn()
        assert "reflog" not in bot.moved.text
    for station in (ann, bob):
        assert "not forward" in station.cli("queue").stdout


def test_who_asks_elsewhere_hears_that_a_bot_runs(ann, bob):
    bob.hub.refs.refresh()
    with ann.bot() as bot:
        bot.take_turn()
        head = bob.change({"a": "1\n"})
        bob.hand_in("a", head)
        assert "no bot runs" not in bob.cli("queue").stdout
        assert "the bot works at another station" in bob.cli("why", "a").stdout
    assert "no bot runs" in bob.cli("queue").stdout


def test_of_two_bots_that_begin_at_once_one_finds_the_other_at_work(ann, bob, monkeypatch):
    real = lease._write

    def write(hub, old):
        monkeypatch.setattr(lease, "_write", real)
        put_lease(ann, lease.Lease(time.time() + 50, {"host": "elsewhere", "pid": 7}))
        real(hub, old)

    monkeypatch.setattr(lease, "_write", write)
    with pytest.raises(lease.Elsewhere), lock(bob.hub):
        pass


def test_a_bot_that_lost_its_lease_ends(team, ann):
    with ann.bot() as bot:
        bot.take_turn()
        put_lease(ann, lease.Lease(time.time() + 50, {"host": "elsewhere", "pid": 7}))
        with pytest.raises(lease.Lost, match="another bot has taken over"):
            bot.reach.look()
            bot._decide(0.0)


@pytest.fixture
def at(monkeypatch):
    """Says as which process of another machine, and that lives, a bot here takes its lease from now on."""
    monkeypatch.setattr(lease, "LASTS", 0.3)
    monkeypatch.setattr(lease, "WATCH", 0.1)
    return lambda name: monkeypatch.setattr(lease.owner, "identity", lambda home: {"host": name, "pid": 7})


@pytest.fixture
def replaced(ann, bob, at):
    """A bot of ann's at work that was replaced by one of bob's, and what ends the first."""
    ann.trunk_judged()
    ann.submit("slow", {"slow": "SLOW\n"})
    with contextlib.ExitStack() as stack:
        at("a")
        first = stack.enter_context(ann.bot())
        until(first, lambda: first.runs)
        # It renews its lease no more.
        put_lease(ann, lease.Lease(1.0, {"host": "a", "pid": 7}))
        at("b")
        with bob.bot() as second:
            until(second, lambda: second.runs)
            at("a")
            yield SimpleNamespace(first=first, second=second, running=second.state.probes, end=stack.close)
            at("b")


def test_a_bot_that_was_only_away_leaves_its_probes_to_its_successor_and_strikes_nothing(ann, bob, replaced):
    with pytest.raises(lease.Lost):
        replaced.first.take_turn()
    replaced.end()
    assert not ann.refs("refs/agentctl/stage/")
    state = Ledger.read(bob.seen.hub).state()
    assert state.probes == replaced.running != () and state.struck == {}


def test_a_bot_that_does_not_know_yet_that_it_is_replaced_writes_nothing_at_its_end(ann, bob, replaced):
    # Somebody else of its station has looked.
    ann.cli("queue")
    replaced.end()
    assert Ledger.read(bob.seen.hub).state().probes == replaced.second.state.probes


def test_a_bot_that_died_here_strikes_what_it_asked_about(team, ann, bob):
    ann.trunk_judged()
    ann.submit("slow", {"slow": "SLOW\n"})
    with subprocess.Popen(command("bot", "run"), cwd=ann.path, env=environment(), stdout=subprocess.DEVNULL) as running:
        eventually(lambda: Ledger.read(bob.seen.hub).state().probes)
        running.kill()
    with bob.bot() as bot:
        assert bot.state.struck == {"slow/1": 1}


def put_lease(station, held):
    hub = station.hub
    hub.refs.refresh()
    old = hub.refs.get("refs/agentctl/bot")
    text = json.dumps({"until": held.until, "owner": held.owner})
    made = hub.objects.write_commit(hub.objects.write_tree({}), [], text + "\n", 0.0)
    move = hub.refs.transaction("a lease")
    move.update("refs/agentctl/bot", made, old)
    move.commit()


def test_bots_at_two_stations_take_turns(team, ann, bob):
    for n, station in enumerate([ann, bob, ann, bob]):
        ann.submit(f"fix-{n}", {f"{n}": f"{n}\n"})
        station.drain()
    assert set(ann.seen.stages().values()) == {"landed"}
    ann.proven()
    bob.proven()


# refusals and cuts


def test_a_hook_that_refuses_trunk_is_quoted_once_and_the_queue_resumes(team, ann):
    team.hook("update", 'case $1 in refs/heads/*) echo "only release managers push here" >&2; exit 1;; esac\n')
    ann.submit("fix", {"a": "1\n"})
    with ann.bot() as bot:
        until(bot, lambda: told(bot, "away"))
        ann.submit("more", {"b": "1\n"})
        # All but landing goes on.
        until(bot, lambda: "more/1" in bot.state.queue)
        assert "only release managers push here" in told(bot, "away")[0]
        team.hook("update", "")
        finish(bot)
        assert len(told(bot, "away")) == 1
        assert told(bot, "back")
    assert set(ann.stages().values()) == {"landed"}


def test_a_remote_that_is_away_is_named_with_a_way_to_look_at_it(team, ann):
    ann.submit("fix", {"a": "1\n"})
    os.rename(team.path, team.folder / "gone")
    failed = ann.cli("queue", ok=125)
    assert "the remote origin cannot be reached" in failed.stderr
    assert "git ls-remote origin" in failed.stderr
    offline = ann.cli("--offline", "queue")
    assert "fix/1" in offline.stdout
    assert "the hub as of" in offline.stderr
    assert "--offline was given" in ann.cli("--offline", "task", "add", "Something", ok=125).stderr


def test_a_bot_waits_for_a_remote_that_is_away(team, ann):
    ann.submit("fix", {"a": "1\n"})
    with ann.bot() as bot:
        os.rename(team.path, team.folder / "gone")
        bot.take_turn()
        assert told(bot, "away")
        os.rename(team.folder / "gone", team.path)
        finish(bot)
        assert told(bot, "back")
    assert ann.record("fix").stage == "landed"


@pytest.mark.parametrize("when", ["pre-receive", "post-receive"])
def test_a_link_that_breaks_before_the_answer(team, ann, when):
    """Before or after the hub has taken a push, the link is cut: nothing is lost, and nothing is done twice."""
    cut = f"n=$(cat {team.folder}/count 2>/dev/null || echo 0); echo $((n + 1)) > {team.folder}/count\n"
    team.hook(when, cut + "test $((n % 3)) = 1 && kill -9 $PPID\nexit 0\n")
    for n in range(3):
        ann.submit(f"fix-{n}", {f"{n}": f"{n}\n"})
    ann.drain()
    assert set(ann.seen.stages().values()) == {"landed"}
    keys = git(team.path, "log", "--format=%(trailers:key=Agentctl-Change,valueonly,separator=%x2c)", "main").split()
    assert sorted(keys) == ["fix-0/1", "fix-1/1", "fix-2/1"]
    ann.proven()


def test_what_was_taken_is_our_own_whoever_sees_it_first(team, ann, monkeypatch):
    """The answer is lost, and the link with it; once it is back, another thread looks before this one tries again."""
    gone = team.folder / "gone.git"
    team.hook("post-receive", f"mv {team.path} {gone}; kill -9 $PPID\n")
    station = ann.hub.station
    station.patience = lambda: PATIENCE

    def back(seconds):
        gone.rename(team.path)
        station.refresh()
        assert ann.hub.refs.get("refs/agentctl/pause")

    monkeypatch.setattr("time.sleep", back)
    make(ann, "refs/agentctl/pause")
    assert team.refs["refs/agentctl/pause"] == ann.hub.refs.get("refs/agentctl/pause")


def test_what_another_has_made_is_not_our_own(team, ann, bob):
    make(ann, "refs/agentctl/pause")
    with pytest.raises(Contended):
        make(bob, "refs/agentctl/pause", bob.change({"a": "1\n"}))


def test_the_users_own_fetch_during_a_look_does_no_harm(team, ann, monkeypatch):
    team.push({"a": "1\n"})
    carry_out = transactions.carry_out

    def after_a_fetch(*args):
        monkeypatch.setattr(transactions, "carry_out", carry_out)
        git(ann.path, "fetch", "-q")
        carry_out(*args)

    monkeypatch.setattr(transactions, "carry_out", after_a_fetch)
    ann.hub.refs.refresh()
    assert ann.tip == team.tip


def test_a_look_that_does_not_end_in_time_is_given_longer(team, ann):
    git(ann.path, "config", "remote.origin.uploadpack", "sleep 0.5; git-upload-pack")
    team.push({"a": "1\n"})
    station = ann.hub.station
    station._limit = 0.1
    with pytest.raises(Away, match=r"git fetch --quiet --prune did not end within 0\.1 s"):
        station.refresh()
    for _ in range(10):
        with contextlib.suppress(Away):
            station.refresh()
            break
    assert ann.tip == team.tip


def test_of_two_who_deepen_a_clone_the_second_has_nothing_to_do(ann):
    assert ann.hub.station.deepen()


@pytest.mark.parametrize(("ref", "what"), [("refs/heads/main", "landed"), ("refs/agentctl/outbox/", "rejected")])
def test_what_the_hub_took_though_nobody_could_hear_it_is_told(team, ann, monkeypatch, ref, what):
    monkeypatch.setattr(reach, "FIRST_PAUSE", 0.01)
    gone = team.folder / "gone"
    team.hook("post-receive", f"grep -q {ref} || exit 0\nmv {team.path} {gone} && kill -9 $PPID\n")
    ann.trunk_judged()
    ann.submit("good", {"a": "1\n"})
    ann.submit("bad", {"b": "BUG\n"})
    with ann.bot() as bot:
        until(bot, gone.exists)
        assert told(bot, "away") and not told(bot, what)
        (gone / "hooks/post-receive").unlink()
        os.rename(gone, team.path)
        finish(bot)
        assert len(told(bot, "landed")) == len(told(bot, "rejected")) == 1
    ann.proven()


def test_a_bot_goes_on_when_the_hub_does_not_let_it_put_back_what_is_its_own(team, ann, monkeypatch):
    monkeypatch.setattr(reach, "FIRST_PAUSE", 0.01)
    ann.submit("fix", {"a": "1\n"})
    with ann.bot() as bot:
        finish(bot)
        own = team.refs["refs/agentctl/state"]
        git(team.path, "update-ref", "-d", "refs/agentctl/state")
        team.hook("update", "echo not today; exit 1\n")
        until(bot, lambda: told(bot, "away"))
        assert "declines refs/agentctl/state: not today" in told(bot, "away")[0]
        team.hook("update", "")
        until(bot, lambda: told(bot, "back"))
        git(team.path, "merge-base", "--is-ancestor", own, "refs/agentctl/state")
        assert len(told(bot, "restored")) == 1


def test_a_hub_that_takes_nothing_says_so(team, ann):
    team.hook("pre-receive", 'echo "this server is full" >&2; exit 1\n')
    with pytest.raises(Declined, match="this server is full"):
        ann.submit("fix", {"a": "1\n"})
    team.hook("pre-receive", "")
    ann.submit("fix", {"a": "1\n"})
    assert ann.seen.stage("fix") == "waiting"


def test_words_that_change_with_each_try_are_one_trouble(team, ann, monkeypatch):
    count = team.folder / "count"
    count.write_text("")
    team.hook("pre-receive", f"echo x >> {count}; n=$(wc -l < {count}); [ $n -gt 3 ] || {{ echo try number $n; exit 1; }}\n")
    station, waits = ann.hub.station, []
    station.patience = lambda: PATIENCE
    monkeypatch.setattr("time.sleep", lambda seconds: waits.extend(error.message for error in station.waiting.values()))
    make(ann, "refs/agentctl/pause")
    assert len(waits) == 3 and len(set(waits)) == 1 and "try number 1" in waits[0]
    assert not station.waiting


def test_a_lock_that_a_killed_git_left_here_is_cleared(team, ann):
    team.push({"a": "1\n"})
    for name in ("refs/remotes/origin/main.lock", "refs/agentctl/pause.lock"):
        path = ann.path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))
    git(team.path, "update-ref", "refs/agentctl/pause", team.tip)
    assert ann.seen.tip == team.tip
    assert ann.hub.refs.get("refs/agentctl/pause") == team.tip


@pytest.fixture
def guarded(team):
    """A hub with the guard of agentctl."""
    cli("hook", "install", "--guard-hub", cwd=team.path)
    return team


def test_a_guarded_hub_takes_landings_and_no_push_around_them(guarded, ann, bob):
    ann.submit("fix", {"a": "1\n"})
    bob.drain()
    assert git(guarded.path, "show", "main:a") == "1\n"
    with pytest.raises(AssertionError, match="goes around the merge queue"):
        guarded.push({"b": "1\n"})
    with pytest.raises(AssertionError, match="is not deleted"):
        git(ann.path, "push", "origin", ":main")
    with pytest.raises(AssertionError, match="refs/agentctl/state only moves forward"):
        git(ann.path, "push", "-f", "origin", "main:refs/agentctl/state")
    git(ann.path, "push", "origin", "main:refs/heads/topic")
    ann.proven()


@pytest.mark.parametrize("moved", [["-d", "refs/heads/main"], ["refs/heads/main", "main~1"], ["refs/heads/main", "aside"]])
def test_a_guarded_hub_lets_trunk_be_put_back(guarded, ann, moved):
    ann.submit("fix", {"a": "1\n"})
    ann.drain()
    landed = guarded.tip
    aside = ann.change({"else": "1\n"}, base=ann.hub.commit_of(f"{landed}~1"))
    git(ann.path, "push", "-q", "origin", f"{aside}:refs/heads/aside")
    git(guarded.path, "update-ref", *moved)
    ann.cli("bot", "restore")
    assert guarded.tip == landed
    ann.proven()


def test_a_guarded_hub_knows_its_bot(guarded, ann, monkeypatch):
    git(guarded.path, "config", "agentctl.botUser", "robot")
    monkeypatch.setenv("REMOTE_USER", "ann")
    ann.submit("fix", {"a": "1\n"})
    with pytest.raises(Declined, match="only the merge queue's bot pushes refs/agentctl/bot, and ann is not it"), lock(ann.hub):
        pass
    monkeypatch.setenv("REMOTE_USER", "robot")
    ann.drain()
    assert git(guarded.path, "show", "main:a") == "1\n"


def test_no_atomic_push_is_a_reason_to_refuse(team, ann):
    git(team.path, "config", "receive.advertiseAtomic", "false")
    with pytest.raises(Declined, match="atomic"):
        ann.submit("fix", {"a": "1\n"})


# what the port promises


def test_what_is_written_together_is_read_at_once_and_pushed_at_the_end(team, ann):
    refs, tip = ann.hub.refs, ann.tip
    with refs.together():
        move = refs.transaction("one")
        move.create("refs/agentctl/salvage/a/1", tip)
        move.commit()
        assert refs.get("refs/agentctl/salvage/a/1") == tip
        assert list(refs.names(["refs/agentctl/salvage/"]).oids) == ["refs/agentctl/salvage/a/1"]
        again = refs.transaction("two")
        again.delete("refs/agentctl/salvage/a/1", tip)
        again.create("refs/agentctl/salvage/a/2", tip)
        again.commit()
        assert "refs/agentctl/salvage/a/1" not in team.refs
    assert "refs/agentctl/salvage/a/1" not in team.refs
    assert team.refs["refs/agentctl/salvage/a/2"] == tip


def test_nothing_is_pushed_of_what_ends_in_an_error(team, ann):
    settled = []
    with pytest.raises(KeyError), ann.hub.refs.together():
        move = ann.hub.refs.transaction("one")
        move.create("refs/agentctl/salvage/a/1", ann.tip)
        move.commit()
        ann.hub.refs.once_settled(settled.append)
        raise KeyError
    assert settled == [False]
    assert "refs/agentctl/salvage/a/1" not in team.refs
    assert ann.hub.refs.get("refs/agentctl/salvage/a/1") is None


def test_of_two_who_write_one_ref_one_is_told(team, ann, bob):
    for station in (ann, bob):
        station.hub.refs.refresh()
    make(ann, "refs/agentctl/pause")
    with pytest.raises(Contended):
        make(bob, "refs/agentctl/pause", bob.change({"a": "1\n"}))
    assert bob.hub.refs.get("refs/agentctl/pause") == ann.tip


def make(station, ref, oid=None):
    move = station.hub.refs.transaction("one")
    move.create(ref, oid or station.tip)
    move.commit()


def test_a_name_in_the_way_is_set_aside_at_the_hub(team, ann):
    git(team.path, "update-ref", "refs/agentctl/tasks", team.tip)
    ann.seen.cli("task", "add", "Count the words", "--id", "count")
    assert "refs/agentctl/tasks/count" in team.refs
    assert team.refs["refs/agentctl/salvage/_doctor/1"] == team.tip


def test_away_is_no_answer_about_a_ref(team, ann):
    os.rename(team.path, team.folder / "gone")
    with pytest.raises(Away):
        make(ann, "refs/agentctl/pause")


# several fleets


def claimed(station, task, place, seconds=100, who=None):
    """A task that an agent of another station works on, by its claim."""
    station.cli("task", "add", task, "--id", task)
    held = Claim(f"{place}-1", 1, time.time() + seconds, who or {"host": "elsewhere", "pid": 7}, place)
    return claims.claim(station.seen.hub, task, held)


def test_a_station_that_vanished_loses_its_claims(team, ann, monkeypatch):
    monkeypatch.setattr(presence, "LASTS", 0.3)
    claimed(ann, "count", "far")
    make(ann, "refs/agentctl/stations/far")
    assert not ended(ann)
    time.sleep(0.4)
    ann.hub.refs.refresh()
    assert ended(ann) == ["count"]
    assert [s.end for s in tasks.get(ann.hub, "count").sessions] == ["interrupted"]
    assert "refs/agentctl/claims/count" not in team.refs


def test_agents_of_other_stations_are_listed(ann):
    claimed(ann, "count", "far")
    assert ann.cli("ps").stdout.split() == ["far-1", "running", "count", "-", "at", "station", "far"]
    assert json.loads(ann.cli("ps", "--json").stdout)[0]["station"] == "far"


def test_a_station_that_renews_its_ref_keeps_them(ann, bob, monkeypatch):
    monkeypatch.setattr(presence, "LASTS", 0.3)
    bob.hub.configure("agentctl.station", "bob")
    claimed(ann, "count", "bob")
    there = presence.Presence(bob.hub)
    for _ in range(3):
        there._next = 0.0
        bob.hub.refs.refresh()
        there.beat()
        ann.hub.refs.refresh()
        assert not ended(ann)
        time.sleep(0.2)
    there.leave()
    ann.hub.refs.refresh()
    assert not ended(ann)
    time.sleep(0.4)
    ann.hub.refs.refresh()
    assert ended(ann) == ["count"]


def ended(station):
    policy = in_force(station.hub)[1]
    return end_claims(station.hub, "main", policy, tasks.survey(station.hub), LOCAL)


def test_a_station_that_comes_back_is_fenced(ann, bob):
    """What it hands in after another station has done the task is rejected, and kept."""
    ann.cli("task", "add", "count", "--id", "count")
    ann.seen.submit("count", {"a": "1\n"}, agent="ann-1", task="count", generation=2)
    done = Session(2, "ann-1", End.SUBMITTED, time.time(), 1.0, ann.tip, 1)
    tasks.change(ann.hub, "count", "done", lambda task: task.add(done))
    ann.drain()
    late = bob.seen.submit("count", {"b": "1\n"}, agent="bob-1", task="count", generation=1)
    bob.drain()
    assert bob.stages() == {"count/1": "landed", "count/2": "superseded"}
    assert bob.hub.objects.exists(late)
    assert bob.show("b", "origin/main") is None
    # The task stays as the other session left it, though the late one is written down too.
    tasks.change(
        bob.hub, "count", "late", lambda task: task.add(Session(1, "bob-1", End.SUBMITTED, time.time(), 1.0, bob.tip, 2))
    )
    assert bob.cli("task", "list").stdout.split()[:2] == ["landed", "count"]
    assert "count/1: landed" in bob.cli("why", "count").stdout


def test_two_fleets_share_the_tasks_and_one_bot_lands_them(team, ann, bob, tmp_path):
    for n in range(6):
        ann.cli("task", "add", f"write {n}", "--id", f"t-{n}")
    agent = tmp_path / "agent.sh"
    # Neither ends before the other has begun.
    both = " && ".join(f"ls {tmp_path}/begun-{station.hub.place}-*" for station in (ann, bob))
    agent.write_text(
        f'touch "{tmp_path}/begun-$AGENTCTL_AGENT"; until {both}; do sleep 0.1; done >/dev/null 2>&1\n'
        'echo done > "$AGENTCTL_TASK"; git add -A; git commit -qm "do $AGENTCTL_TASK"\n'
    )
    runs = [
        subprocess.Popen(
            command("run", "--agents", "2", "--", "sh", agent), cwd=station.path, env=environment(), stdout=PIPE, text=True
        )
        for station in (ann, bob)
    ]
    said = [run.communicate(timeout=PATIENCE)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert sorted(ann.seen.stages().values()) == ["landed"] * 6, "\n".join(said)
    agents = {s.agent for task in tasks.listed(ann.hub).values() for s in task.sessions}
    assert all(f"{station.hub.place}-1" in agents or f"{station.hub.place}-2" in agents for station in (ann, bob))
    assert not [
        name for name in team.refs if name.startswith(("refs/agentctl/claims/", "refs/agentctl/stations/", "refs/agentctl/bot"))
    ]
    ann.proven()


# the ways to a remote


@pytest.fixture(params=["daemon", "http", "ssh"])
def server(request, team, monkeypatch):
    """The hub behind a server on loopback, as teams have it."""
    if request.param == "ssh" and not os.path.exists("/usr/sbin/sshd"):
        pytest.skip("there is no sshd: apt-get install openssh-server")
    monkeypatch.setattr(socket.socket, "connect", CONNECT)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:git:http:ssh")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    forget()
    with serving(request.param, str(team.folder)) as server:
        yield server


def test_a_change_lands_over(server, team, ann, bob):
    for station in (ann, bob):
        git(station.path, "remote", "set-url", "origin", server.url("hub.git"))
        for setting in server.settings:
            git(station.path, "config", *setting.split("=", 1))
    git(ann.path, "checkout", "-q", "-b", "fix")
    (ann.path / "new").write_text("new\n")
    git(ann.path, "add", "new")
    git(ann.path, "commit", "-q", "-m", "fix it")
    ann.cli("submit")
    assert "landed 1" in bob.cli("bot", "run", "--once").stdout
    ann.cli("wait", "fix")
    assert git(team.path, "show", "main:new") == "new\n"


def test_a_session_that_ends_while_the_hub_is_away_hands_in_later(team, ann, tmp_path):
    ann.cli("task", "add", "write", "--id", "t-1")
    begun, ends = tmp_path / "begun", tmp_path / "ends"
    agent = tmp_path / "agent.sh"
    agent.write_text(
        f"touch {begun}; while [ ! -e {ends} ]; do sleep 0.1; done; echo done > x; git add -A; git commit -qm 'do it'\n"
    )
    argv = command("run", "--agents", "1", "--", "sh", agent)
    run = subprocess.Popen(argv, cwd=ann.path, env=environment(), stdout=PIPE, stderr=subprocess.STDOUT, text=True)
    eventually(begun.exists)
    os.rename(team.path, team.folder / "gone")
    ends.touch()
    time.sleep(2)
    os.rename(team.folder / "gone", team.path)
    said = run.communicate(timeout=PATIENCE)[0]
    assert run.returncode == 0, said
    assert said.count("cannot be reached") == 1
    assert git(team.path, "show", "main:x") == "done\n"


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_sessions_wait_while_only_large_files_cannot_be_uploaded(team, ann):
    subprocess.run(["git", "lfs", "install", "--skip-repo"], check=True, capture_output=True)
    team.push({".gitattributes": "*.big filter=lfs diff=lfs merge=lfs -text\n"})
    git(ann.path, "config", "lfs.url", NOWHERE)
    for name in ("one", "two"):
        ann.cli("task", "add", name, "--id", name)
    script = "echo $AGENTCTL_TASK > $AGENTCTL_TASK.big; git add -A; git commit -qm large"
    argv = command("run", "--agents", "2", "--", "sh", "-c", script)
    run = subprocess.Popen(argv, cwd=ann.path, env=environment(), stdout=PIPE, stderr=subprocess.STDOUT, text=True)
    held = "held up: a session waits to hand in: large files cannot be uploaded to origin: "
    eventually(lambda: held in (said := ann.cli("ps").stdout.replace("\n         ", " ")) and "one" in said and "two" in said)
    git(ann.path, "config", "--unset", "lfs.url")
    said = run.communicate(timeout=PATIENCE)[0]
    assert run.returncode == 0 and said.count("large files cannot be uploaded") == 1, said
    assert sorted(ann.seen.stages().values()) == ["landed", "landed"]
    assert [len(task(ann, name)["sessions"]) for name in ("one", "two")] == [1, 1]
    git(team.folder, "clone", "-q", str(team.path), "fresh")
    assert (team.folder / "fresh/two.big").read_text() == "two\n"


def test_a_run_whose_hub_stays_away_ends_when_it_is_asked_to_and_keeps_the_work(team, ann, tmp_path):
    ann.cli("task", "add", "write", "--id", "t-1")
    begun = tmp_path / "begun"
    agent = tmp_path / "agent.sh"
    agent.write_text(f"echo half > x; touch {begun}; sleep 1000\n")
    argv = command("run", "--agents", "1", "--", "sh", agent)
    run = subprocess.Popen(argv, cwd=ann.path, env=environment(), stdout=PIPE, stderr=subprocess.STDOUT, text=True)
    eventually(begun.exists)
    os.rename(team.path, team.folder / "gone")
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=PATIENCE)[0]
    assert "Traceback" not in said, said
    os.rename(team.folder / "gone", team.path)
    # The next start makes the work safe, and goes on.
    agent.write_text('echo whole > x; git add -A; git commit -qm "do it"\n')
    ann.cli("run", "--agents", "1", "--", "sh", agent)
    assert git(team.path, "show", "main:x") == "whole\n"
    (ref,) = [name for name in team.refs if name.startswith("refs/agentctl/salvage/")]
    assert git(team.path, "show", f"{ref}:x") == "half\n"
