"""When agentctl itself fails on a change, or dies of it: the others go on."""

import os
import subprocess
import sys

import pytest

from agentctl.bot import lanes, set_aside, stage
from agentctl.core.queue import ledger_format as codec
from agentctl.core.queue.records import Queued, reason_kind
from agentctl.errors import Infrastructure
from tests.support.hub import command, environment, eventually, finish, git, policy

PATIENCE = 120


def failing(monkeypatch, owner, name, on, error):
    """Makes a function of ours fail where `on` says so."""
    real = getattr(owner, name)

    def fails(*args, **options):
        if on(*args):
            raise error
        return real(*args, **options)

    monkeypatch.setattr(owner, name, fails)


@pytest.mark.parametrize(
    "error",
    [
        OSError(36, "File name too long"),
        ValueError("odd"),
        MemoryError(),
        RecursionError("deep"),
        KeyError("x"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
    ],
    ids=repr,
)
def test_an_admission_on_which_we_fail_is_set_aside_the_second_time(repo, monkeypatch, error):
    head = repo.submit("evil", {"evil.txt": "evil\n"}, agent="evil")
    repo.submit("good", {"good.txt": "good\n"})
    failing(monkeypatch, lanes, "judged_by", lambda hub, policy, base, of: of == head, error)
    with repo.bot() as bot:
        bot.take_turn()
        assert "good/1" in bot.state.queue and repo.stage("evil") == "waiting"
        finish(bot)
    assert repo.stages() == {"evil/1": "rejected", "good/1": "landed"}
    record = repo.record("evil")
    said = error.strerror if isinstance(error, OSError) else type(error).__name__
    assert reason_kind(record) == "fault" and record.why.startswith(f"agentctl fails on it: {said}")
    assert repo.verdict("evil")["kind"] == "fault"
    repo.proven()


def test_a_staging_on_which_we_fail_is_set_aside_the_second_time(repo, monkeypatch):
    for name in ("evil", "good", "other"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"}, agent=name)
    failing(monkeypatch, stage.Stager, "_squash", lambda self, tip, record: record.key == "evil/1", OSError(36, "too long"))
    repo.drain()
    assert repo.stages() == {"evil/1": "rejected", "good/1": "landed", "other/1": "landed"}
    assert repo.kind("evil") == "fault" and "too long" in repo.record("evil").reason.error
    repo.proven()


def test_what_was_given_another_number_is_blamed_and_nobody_else(repo, monkeypatch):
    """Two heads under one number, as whoever pushes to the inbox may name them: the later one is the next revision."""
    first, second = repo.change({"evil.txt": "one\n"}), repo.change({"evil.txt": "two\n"})
    ref = "refs/agentctl/inbox/evil/evil/1"
    failing(monkeypatch, stage.Stager, "_squash", lambda self, tip, record: record.key == "evil/2", OSError(36, "too long"))
    with repo.bot() as bot:
        repo.git("update-ref", ref, first)
        bot.take_turn()
        repo.git("update-ref", ref, second)
        repo.submit("good", {"good.txt": "good\n"})
        finish(bot)
    assert repo.stages()["evil/2"] == "rejected" and repo.kind("evil") == "fault"
    assert repo.stage("good") == "landed"
    repo.proven()


def test_a_failure_that_passes_costs_nobody_anything(repo, monkeypatch):
    repo.submit("one", {"one.txt": "1\n"})
    times = []
    failing(monkeypatch, stage.Stager, "_squash", lambda *_: not times and not times.append(1), ValueError("once"))
    repo.drain()
    assert repo.stages() == {"one/1": "landed"}


@pytest.mark.parametrize("where", [(lanes, "judged_by"), (stage.Stager, "_squash")], ids=["admission", "staging"])
def test_a_machine_that_fails_blames_nobody(repo, monkeypatch, where):
    repo.submit("one", {"one.txt": "1\n"})
    failing(monkeypatch, *where, lambda *_: True, OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        repo.drain()
    monkeypatch.undo()
    assert repo.stages().get("one/1", "queued") == "queued"
    repo.drain()
    assert repo.stages() == {"one/1": "landed"}


def test_before_anybody_is_blamed_the_machine_is_tried(repo, monkeypatch):
    repo.submit("one", {"one.txt": "1\n"})
    failing(monkeypatch, lanes, "judged_by", lambda *_: True, ValueError("odd"))
    failing(monkeypatch, set_aside, "try_machine", lambda *_: True, Infrastructure("it is the machine"))
    with pytest.raises(Infrastructure, match="it is the machine"):
        repo.drain()
    monkeypatch.undo()
    repo.drain()
    assert repo.stages() == {"one/1": "landed"}


def test_what_would_not_be_read_again_is_not_written(repo, monkeypatch):
    repo.submit("evil", {"evil.txt": "evil\n"}, agent="evil", priority=13)
    repo.submit("good", {"good.txt": "good\n"})
    real = codec.dump
    monkeypatch.setattr(
        codec, "dump", lambda value: real(value) + (b"spoilt" if isinstance(value, Queued) and value.change.id == "evil" else b"")
    )
    repo.drain()
    assert repo.stages() == {"evil/1": "rejected", "good/1": "landed"}
    assert repo.kind("evil") == "fault"
    repo.proven()


KILLS = """\
# The gate: one that kills whoever started it, up to the first that is called so, where the tree says so.
[ -e killer ] || exit 0
up=$$
until tr '\\0' ' ' </proc/$up/cmdline | grep -q "$(cat killer)"; do up=$(cut -d' ' -f4 /proc/$up/stat); done
kill -9 $up
exec sleep 1000
"""


def starts(repo, most=8):
    """Run a bot as somebody does who starts it again; returns how often it died."""
    for died in range(most):
        done = subprocess.run(
            command("bot", "run", "--once"), cwd=repo.path, env=environment(), capture_output=True, text=True, timeout=PATIENCE
        )
        if done.returncode != -9:
            assert done.returncode == 7, done.stderr
            return died
    raise AssertionError("the bot dies at every start")


def test_a_gate_that_kills_its_bot_is_set_aside(make_repo):
    repo = make_repo(files={"check.sh": KILLS})
    for name in ("a", "b"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"}, agent=name)
    repo.submit("killer", {"killer": "bot run\n"}, agent="evil")
    repo.submit("z", {"z.txt": "z\n"}, agent="z")
    assert starts(repo) == 3
    assert repo.stages() == {"a/1": "landed", "b/1": "landed", "z/1": "landed", "killer/1": "rejected"}
    record = repo.record("killer")
    assert reason_kind(record) == "fault" and "the bot died 3 times" in record.why
    repo.proven()


def test_a_gate_that_kills_its_guard_has_failed(make_repo):
    repo = make_repo(files={"check.sh": KILLS})
    repo.submit("a", {"a.txt": "a\n"})
    repo.submit("killer", {"killer": "guard.py\n"}, agent="evil")
    repo.drain()
    assert repo.stages() == {"a/1": "landed", "killer/1": "rejected"}
    assert repo.kind("killer") == "gate" and "watches it was killed" in repo.record("killer").why
    repo.proven()


SPOILS = """\
[ ! -e killer ] || setsid env -i /bin/sh -c 'echo $$ >"$1"; while :; do for f in "$2"/*/bad.txt; do [ ! -e "$f" ] || echo >"$f"; done; done' sh \
    "$(cat spoiler)" "$(dirname "$PWD")" </dev/null >/dev/null 2>&1 &
[ ! -e killer ] || until [ -s "$(cat spoiler)" ]; do sleep 0.01; done
"""


def test_nothing_outlives_a_gate_that_kills_its_guard(make_repo, tmp_path):
    """It would spoil the slot while the next change is tested there."""
    repo = make_repo(files={"check.sh": SPOILS + "! grep -rq BUG --include=*.txt . || exit 1\n" + KILLS})
    repo.submit("killer", {"killer": "guard.py\n", "spoiler": f"{tmp_path}/pid\n"}, agent="evil")
    repo.drain()
    left = int((tmp_path / "pid").read_text())
    assert not os.path.exists(f"/proc/{left}")
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    assert repo.stages() == {"killer/1": "rejected", "bad/1": "rejected"}
    repo.proven()


def test_a_bot_that_is_killed_now_and_then_blames_nobody(make_repo, tmp_path):
    # Twice with the same changes in a running probe: they are tested apart, and land.
    go, begun = tmp_path / "go", tmp_path / "begun"
    repo = make_repo(files={"check.sh": f"echo >>{begun}; while [ ! -e {go} ]; do sleep 0.02; done\n"})
    go.touch()
    repo.drain()
    go.unlink()
    for name in ("a", "b", "c"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"}, agent=name)
    for _ in range(2):
        begun.unlink()
        running = subprocess.Popen(command("bot", "run", "--once"), cwd=repo.path, env=environment(), stdout=subprocess.DEVNULL)
        eventually(begun.exists)
        running.kill()
        running.wait()
    go.touch()
    with repo.bot() as bot:
        assert set(bot.state.struck.values()) == {2}
        finish(bot)
        assert [probe.chain for probe, _ in bot.judged if probe.chain] == [("a/1",), ("b/1",), ("c/1",)]
        assert bot.state.struck == {}
    assert sorted(repo.landings()) == ["a/1", "b/1", "c/1"]
    repo.proven()


def test_a_bot_that_dies_of_an_admission_looks_at_it_no_third_time(repo):
    repo.submit("evil", {"evil.txt": "evil\n"}, agent="evil")
    repo.submit("good", {"good.txt": "good\n"})
    code = (
        "import os, sys; from agentctl.bot import lanes; from agentctl.cli import main; real = lanes.judged_by\n"
        "def dies(hub, policy, base, head):\n"
        "    if hub.objects.commit(head).subject == 'add evil': os.kill(os.getpid(), 9)\n"
        "    return real(hub, policy, base, head)\n"
        "lanes.judged_by = dies\n"
        "main(['bot', 'run', '--once'])\n"
    )
    deaths = 0
    while deaths < 6:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=repo.path, env=environment(), capture_output=True, timeout=PATIENCE
        )
        if done.returncode != -9:
            break
        deaths += 1
    assert (deaths, done.returncode) == (2, 7)
    assert repo.stages() == {"evil/1": "rejected", "good/1": "landed"}
    assert "the bot died while it was at work on it" in repo.record("evil").why
    repo.proven()


def test_a_merge_on_which_git_itself_aborts_sets_one_change_aside(repo):
    """Git 2.39 ends by an assertion where a submodule was moved and a link stands in its old place."""
    repo.push({".agentctl/policy.yaml": policy() + "limits: {allow_submodules: true}\n"})
    at = "160000,1111111111111111111111111111111111111110,"
    base = indexed(repo, repo.tip, [at + "x/a"])
    git(repo.path, "reset", "-q", "--hard", base)
    link = repo.hub.objects.write_blob(b"elsewhere")
    repo.hub.objects.store.flush()
    repo.hand_in("one", indexed(repo, base, [at + "x/e/a"], ["x/a"]))
    repo.hand_in("two", indexed(repo, base, [f"120000,{link},x/a", at + "x/e/a"], ["x/a"]))
    repo.drain()
    assert sorted(repo.stages().values()) in (["landed", "landed"], ["landed", "rejected"])
    repo.proven()


def indexed(repo, base, add, drop=()):
    """A commit on `base` with entries of the index added, as `git update-index --cacheinfo` takes them, and dropped."""
    env = environment() | {"GIT_INDEX_FILE": os.path.join(repo.path, ".git", "odd.index")}

    def run(*words):
        return subprocess.run(["git", *words], cwd=repo.path, env=env, check=True, capture_output=True, text=True).stdout.strip()

    run("read-tree", base)
    for path in drop:
        run("update-index", "--force-remove", path)
    for entry in add:
        run("update-index", "--add", "--cacheinfo", entry)
    return run("commit-tree", run("write-tree"), "-p", base, "-m", "odd entries")
