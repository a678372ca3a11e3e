"""Ledger and verdicts in the hands of others: noticed, told, and put back; nothing lands twice, and
no verdict but the bot's own proves anything."""

import json
import os
import threading
import time

import pytest

from agentctl.core import refnames
from agentctl.core.policy.policy import fingerprint
from agentctl.core.queue.model import Verdict
from agentctl.core.text import json_form
from agentctl.git.objects import EMPTY_TREE
from agentctl.hub import marks, verdicts
from agentctl.hub.policy_file import in_force
from agentctl.hub.verdicts import Judgement
from tests.support.hub import finish, told, until, write

STATE, VERDICTS = refnames.STATE, refnames.VERDICTS


@pytest.fixture
def lived(repo):
    """A hub in which one and two landed and bad was rejected."""
    for name, text in (("one", "1\n"), ("two", "2\n"), ("bad", "BUG\n")):
        repo.submit(name, {f"{name}.txt": text})
    repo.drain()
    assert len(repo.landings()) == 2
    return repo


def lose(repo, prefix="refs/agentctl/"):
    for ref in repo.refs(prefix):
        repo.git("update-ref", "-d", ref)


def heads(repo):
    return {name: repo.record(name).change.head for name in ("one", "two")}


def put_back(bot):
    return told(bot, "restored")


def test_the_file_holds_what_the_refs_hold_and_is_the_owners_alone(lived):
    path = lived.path / ".git/agentctl/marks.json"
    assert path.stat().st_mode & 0o777 == 0o600
    held = json.loads(path.read_text())["refs"]
    assert held == {ref: [lived.git("rev-parse", ref).strip()] for ref in (STATE, VERDICTS, "refs/heads/main")}


# the ledger


def test_a_ledger_that_was_deleted_is_missed_and_comes_back(lived):
    was, landings = lived.git("rev-parse", STATE).strip(), lived.landings()
    again = heads(lived)
    lose(lived)
    said = lived.cli("verify", ok=9).stdout
    assert f"{STATE} was deleted" in said and "agentctl bot restore" in said
    said = lived.cli("doctor", ok=9).stdout
    assert f"{STATE} was deleted" in said and "mend: agentctl bot restore" in said

    # Meanwhile nobody is told anything wrong.
    assert "landed as" in lived.cli("why", "one").stdout
    assert not lived.hand_in("one", again["one"]).new

    lived.cli("bot", "restore")
    assert lived.git("rev-parse", STATE).strip() == was
    lived.cli("doctor")
    lived.drain()
    assert lived.landings() == landings
    # The answer to the rejected change is gone for good: a note.
    assert "all invariants hold" in lived.cli("verify").stdout


@pytest.mark.parametrize(
    "harm",
    [
        lose,
        lambda repo: repo.git("update-ref", STATE, f"{STATE}^"),
        lambda repo: repo.git("update-ref", STATE, repo.record("one").change.head),
    ],
    ids=["deleted", "moved back", "at a submitted head"],
)
def test_a_bot_puts_back_what_was_only_taken_and_nothing_lands_twice(lived, harm):
    landings, again = lived.landings(), heads(lived)
    harm(lived)
    for name, head in again.items():
        lived.git("update-ref", f"refs/agentctl/inbox/ann/{name}/1", head)
    bot = lived.drain()
    assert any(STATE in text and "put back" in text for text in put_back(bot))
    assert lived.landings() == landings
    assert lived.stages() == {"one/1": "landed", "two/1": "landed", "bad/1": "rejected"}
    assert "it is put back" in lived.git("log", "-5", "--format=%B", STATE)
    lived.proven()


def stranger(repo, parents=()):
    """A ledger that the bot has not written; it claims that trunk is about to move to BUG."""
    evil = repo.change({"evil.txt": "BUG\n"})
    tip = repo.git("rev-parse", STATE).strip()
    objects = repo.hub.objects
    meta = json.loads(objects.read(objects.commit(tip).tree, "meta.json"))
    probe = {"number": 9, "base": repo.tip, "chain": [], "suspects": 0, "reason": "mine", "again": False}
    staged = {"probe": probe, "commit": evil, "tree": objects.commit(evil).tree, "landing": [], "gate": "g", "started": 1}
    meta["landing"] = {
        "old": repo.tip,
        "staged": staged,
        "passed": {"tree": staged["tree"], "gate": fingerprint(in_force(repo.hub)[1]), "at": 1, "commit": evil},
    }
    tree = objects.replace(objects.commit(tip).tree, {"meta.json": json.dumps(meta).encode()})
    return objects.write_commit(tree, parents, "mine\n", 1)


@pytest.mark.parametrize("forward", [False, True])
def test_a_ledger_in_its_place_is_for_a_person_to_judge(lived, forward):
    was = lived.git("rev-parse", STATE).strip()
    theirs = stranger(lived, [was] if forward else [])
    lived.git("update-ref", STATE, theirs)
    said = lived.cli("bot", "run", "--once", ok=5).stderr
    assert theirs[:12] in said and "hint: agentctl bot restore; or" in said
    assert "bot restore" in lived.cli("doctor", ok=9).stdout
    assert lived.cli("bot", "restore").stdout.strip() == f"{STATE} is back at {was[:12]}"
    assert theirs in lived.git("for-each-ref", "--format=%(objectname)", "refs/agentctl/salvage")
    lived.drain()
    lived.proven()


def test_a_ledger_that_a_person_adopts_lands_nothing_without_the_bots_own_verdict(lived):
    was = lived.git("rev-parse", STATE).strip()
    lived.git("update-ref", STATE, stranger(lived, [was]))
    assert "is taken for right" in lived.cli("bot", "adopt").stdout
    lived.drain()
    assert lived.show("evil.txt") is None
    lived.proven()


def test_while_a_bot_runs_no_other_ledger_is_believed(lived):
    was = lived.git("rev-parse", STATE).strip()
    with lived.bot() as bot:
        bot.take_turn()
        for harm in (stranger(lived), stranger(lived, [was]), None):
            lived.git("update-ref", *(["-d", STATE] if harm is None else [STATE, harm]))
            lived.submit("more", {"more.txt": str(harm)})
            finish(bot)
    assert len(put_back(bot)) == 3 and lived.show("more.txt") == "None" and lived.show("evil.txt") is None
    assert lived.record("more").key == "more/3"
    lived.proven()


def test_a_ledger_whose_objects_are_gone_is_begun_anew_by_a_persons_word(lived):
    was = lived.git("rev-parse", STATE).strip()
    lose(lived)
    lived.git("repack", "-a", "-d", "-q")
    lived.git("prune", "--expire=now")
    lived.hub.objects.close()
    assert "no longer in the repository" in lived.cli("doctor", ok=9).stdout
    for words in (["bot", "run", "--once"], ["bot", "restore"]):
        assert "hint: agentctl bot adopt" in lived.cli(*words, ok=5).stderr
    said = lived.cli("bot", "adopt").stdout
    assert "there is none" in said and "names 2 changes that landed" in said
    lived.submit("new", {"new.txt": "new\n"})
    lived.cli("bot", "run", "--once")
    assert "new/1" in lived.landings() and was not in lived.git("rev-list", STATE)


@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: path.write_text("{"), lambda path: path.write_text("")]
)
def test_a_hub_without_the_file_is_taken_as_it_is(lived, spoil):
    # A clone, an older version's, or a disk that lost it.
    spoil(lived.path / ".git/agentctl/marks.json")
    lived.proven()
    lived.submit("three", {"three.txt": "3\n"})
    lived.drain()
    lived.proven()
    assert marks.read(lived.hub).refs.keys() == {STATE, VERDICTS, "refs/heads/main"}


def test_a_plain_clone_is_told_that_it_has_no_ledger(lived, tmp_path):
    lived.git("clone", "-q", str(lived.path), str(tmp_path / "clone"))
    said = lived.cli("verify", cwd=tmp_path / "clone").stdout
    assert "note: " in said and "names 2 changes that landed" in said and "all invariants hold" in said


def test_a_queue_is_listed_without_a_policy(lived):
    lived.git("rm", "-q", ".agentctl/policy.yaml")
    lived.git("commit", "-q", "-m", "no policy")
    assert "the queue is empty" in lived.cli("queue").stdout


def test_a_restoration_beside_a_bot_that_goes_on_takes_nothing_back(lived):
    # Between the move of the ref and the note of it a bot has written more.
    odd_tip = lived.git("rev-parse", STATE).strip()
    lived.git("update-ref", "-d", STATE)
    odd = marks.strange(lived.hub, STATE)
    marks.edit(lived.hub, lambda found: found.moving(STATE, odd_tip, lived.tip))
    assert marks.put_back(lived.hub, odd)
    assert marks.read(lived.hub).refs[STATE] == (odd_tip, lived.tip)


def test_a_mirror_that_is_brought_up_to_date_asks_once(lived, tmp_path):
    # A bot ran here before the other hub took over; now its refs are fetched.
    mirror = (
        type(lived)(tmp_path / "repo.git")
        if lived.git("clone", "-q", "--mirror", str(lived.path), str(tmp_path / "repo.git")) == ""
        else None
    )
    mirror.drain()
    lived.submit("three", {"three.txt": "3\n"})
    lived.drain()
    mirror.git("fetch", "-q", "origin", "+refs/*:refs/*")
    assert "agentctl bot adopt" in mirror.cli("bot", "run", "--once", ok=5).stderr
    mirror.cli("bot", "adopt")
    mirror.submit("four", {"four.txt": "4\n"})
    mirror.drain()
    assert mirror.landings()[-2:] == ["three/1", "four/1"]
    mirror.proven()


def test_nobody_sees_a_false_alarm_while_a_bot_is_at_work(repo):
    over, alarms = threading.Event(), []

    def look():
        while not over.is_set():
            alarms.extend(odd.text for odd in marks.findings(repo.hub))

    watching = [threading.Thread(target=look) for _ in range(2)]
    for thread in watching:
        thread.start()
    try:
        for n in range(12):
            repo.submit(f"c{n}", {f"c{n}.txt": f"{n}\n"})
            repo.drain()
    finally:
        over.set()
        for thread in watching:
            thread.join()
    assert alarms == [] and len(repo.landings()) == 12


# verdicts


def forged(repo, verdict, commit, gate=None):
    """A verdict put into the ref by somebody else."""
    objects, gate = repo.hub.objects, gate or fingerprint(in_force(repo.hub)[1])
    tree = objects.commit(commit).tree
    said = Judgement(verdict, tree, commit, gate, 1.0, time.time())
    tip = repo.git("for-each-ref", "--format=%(objectname)", VERDICTS).strip()
    files = {verdicts._path(gate, tree, verdict): json_form.dump(said)}
    made = objects.replace(objects.commit(tip).tree if tip else EMPTY_TREE, files)
    repo.git("update-ref", VERDICTS, objects.write_commit(made, [tip] if tip else [], "mine\n", 1))


@pytest.mark.parametrize("lived_before", [False, True])
def test_a_forged_pass_lands_nothing(repo, lived_before):
    if lived_before:
        repo.submit("one", {"one.txt": "1\n"})
        repo.drain()
    head = repo.submit("evil", {"evil.txt": "BUG\n"})
    forged(repo, Verdict.PASSED, head)
    bot = repo.drain()
    assert repo.stage("evil") == "rejected" and repo.show("evil.txt") is None
    assert [VERDICTS in text for text in put_back(bot)] == [True]
    repo.proven()


def test_a_pass_forged_while_the_gate_runs_lands_nothing(repo):
    head = repo.submit("evil", {"evil.txt": "BUG\n"})
    with repo.bot() as bot:
        until(bot, lambda: any(staged.probe.chain for staged in bot.state.probes))
        forged(repo, Verdict.PASSED, head)
        finish(bot)
    assert repo.stage("evil") == "rejected"
    repo.proven()


def test_a_forged_pass_is_not_trunks_green(make_repo):
    repo = make_repo(files={"trunk.txt": "BUG\n"})
    forged(repo, Verdict.PASSED, repo.tip)
    repo.submit("fine", {"fine.txt": "fine\n"})
    repo.cli("bot", "run", "--once", ok=125)
    assert repo.landings() == []


def test_a_forged_failure_rejects_nobody(repo):
    repo.submit("one", {"one.txt": "1\n"})
    repo.drain()
    head = repo.submit("fine", {"fine.txt": "fine\n"})
    forged(repo, Verdict.FAILED, head)
    repo.drain()
    assert repo.stage("fine") == "landed"
    repo.proven()


def test_verify_believes_the_bots_verdicts_alone(lived):
    # One landing without a verdict of the bot's: a forged one does not heal that.
    tip, own = lived.tip, lived.git("rev-parse", VERDICTS).strip()
    lived.git("update-ref", VERDICTS, lived.hub.objects.write_commit(EMPTY_TREE, (), "none\n", 1))
    marks.accept(lived.hub, VERDICTS)
    forged(lived, Verdict.PASSED, tip)
    said = lived.cli("verify", ok=9).stdout
    assert f"{tip[:12]} landed without a passed verdict" in said and f"{VERDICTS} is at" in said
    # And back: what is in the ref does not count against what the bot wrote.
    lived.git("update-ref", VERDICTS, own)
    marks.accept(lived.hub, VERDICTS)
    lived.git("update-ref", "-d", VERDICTS)
    said = lived.cli("verify", ok=9).stdout
    assert "1 finding" in said and f"{VERDICTS} was deleted" in said


def test_what_an_agent_tested_in_an_environment_of_its_own_is_no_proof(make_repo, tmp_path):
    # Its PATH has another program of the gate's name.
    for name, text in (("real", "test ! -e bug"), ("fake", "exit 0")):
        write(tmp_path, {f"{name}/checker": f"#!/bin/sh\n{text}\n"})
        (tmp_path / name / "checker").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path / 'real'}:{path}"
    try:
        repo = make_repo(gate="checker")
        repo.git("checkout", "-q", "-b", "topic")
        write(repo.path, {"bug": "bug\n"})
        repo.git("add", "-A")
        repo.git("commit", "-q", "-m", "bug")
        os.environ["PATH"] = f"{tmp_path / 'fake'}:{path}"
        assert "passed" in repo.cli("test").stdout
        os.environ["PATH"] = f"{tmp_path / 'real'}:{path}"
        repo.cli("submit", "--change", "bug")
        repo.git("checkout", "-q", "main")
        repo.drain()
    finally:
        os.environ["PATH"] = path
    assert repo.stage("bug") == "rejected"
    assert repo.refs("refs/agentctl/hints") == ["refs/agentctl/hints"]
    repo.proven()


def test_hints_that_cannot_be_read_are_passed_over(repo):
    repo.git("update-ref", "refs/agentctl/hints", repo.hub.objects.write_blob(b"junk"))
    assert "passed" in repo.cli("test").stdout and "passed" in repo.cli("test").stdout


@pytest.mark.parametrize("way", ["bot restore", "bot run --once"])
@pytest.mark.parametrize("ref", [STATE, VERDICTS])
def test_what_stands_below_the_name_of_a_ref_gives_way(lived, ref, way):
    left = lived.git("rev-parse", ref)
    lived.git("update-ref", "-d", ref)
    made = [lived.change({"odd.txt": f"{n}\n"}) for n in (1, 2)]
    for n, oid in enumerate(made):
        lived.git("update-ref", f"{ref}/x/{n}", oid)
    lived.cli(*way.split())
    assert lived.git("merge-base", "--is-ancestor", left.strip(), ref) == "" and lived.refs(ref + "/") == []
    assert set(made) <= set(lived.git("for-each-ref", "--format=%(objectname)", "refs/agentctl/salvage").split())
    lived.proven()
