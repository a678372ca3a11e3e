"""`verify` must find what is broken: each test breaks one invariant by hand in a sound hub."""

from __future__ import annotations

import json

import pytest

from agentctl.core import refnames
from agentctl.core.queue import ledger_format as codec
from agentctl.core.queue.records import AgainstRules, Conflicts, GateFailed, Queued
from agentctl.core.text.json_form import dump, replace
from agentctl.git.objects import EMPTY_TREE
from agentctl.hub import marks, verification
from agentctl.hub.ledger import Ledger
from agentctl.hub.verification import prove


@pytest.fixture
def lived(repo):
    """A hub with two landed changes and a rejected one."""
    repo.submit("one", {"one.txt": "the first\n"})
    repo.drain()
    repo.submit("two", {"two.txt": "2\n"})
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    assert repo.stages() == {"one/1": "landed", "two/1": "landed", "bad/1": "rejected"}
    repo.proven()
    return repo


def grave(repo) -> set[int]:
    return {f.invariant for f in prove(repo.hub, "main")[1] if f.grave}


def rewrite(repo, files: dict[str, bytes | None], message: str = "forged\n") -> None:
    """A state that no bot would write, as if one had."""
    ledger = Ledger.read(repo.hub)
    tree = repo.hub.objects.replace(ledger.tree, files)
    written(repo, refnames.STATE, repo.hub.objects.write_commit(tree, [ledger.tip], message, 1))


def written(repo, ref: str, oid: str) -> None:
    repo.git("update-ref", ref, oid)
    marks.accept(repo.hub, ref)


def forged(repo, key: str, **facts) -> dict[str, bytes]:
    record = replace(Ledger.read(repo.hub).record(key), **facts)
    return {codec.done_path(key): dump(record)}


def test_trunk_that_lost_what_landed(lived):
    lived.git("update-ref", "refs/heads/main", lived.record("one").commit)
    assert 1 in grave(lived)
    said = lived.cli("--json", "verify", ok=9)
    assert json.loads(said.stderr)["code"] == "findings"
    assert any(f["grave"] for f in json.loads(said.stdout)["findings"])


def test_a_push_around_the_queue_is_named_but_breaks_nothing(lived):
    lived.git("commit", "--quiet", "--allow-empty", "-m", "by hand")
    notes = [f for f in prove(lived.hub, "main")[1] if not f.grave]
    assert grave(lived) == set() and any("around the queue" in f.text for f in notes)
    lived.drain()
    assert "all invariants hold" in lived.cli("verify").stdout


def test_a_landing_without_a_verdict(lived):
    written(lived, refnames.VERDICTS, lived.hub.objects.write_commit(EMPTY_TREE, (), "none\n", 1))
    assert {1, 4} <= grave(lived)


def test_a_landing_from_nowhere(lived):
    proof = lived.record("two").proof
    rewrite(lived, forged(lived, "two/1", proof=replace(proof, old="f" * 40)))
    assert 1 in grave(lived)


def test_a_landed_commit_that_was_not_the_tested_one(lived):
    rewrite(lived, forged(lived, "one/1", commit=lived.change({"x": "x\n"})))
    assert 2 in grave(lived)


def test_a_submission_that_vanished(lived):
    rewrite(lived, {codec.done_path("bad/1"): None})
    assert 3 in grave(lived)


def test_a_submission_both_queued_and_ended(lived):
    record = Ledger.read(lived.hub).record("bad/1")
    rewrite(lived, {codec.queue_path("bad/1"): dump(Queued(record.change, record.work))})
    assert 3 in grave(lived)


def test_two_submissions_that_landed_as_one(lived):
    rewrite(lived, forged(lived, "two/1", commit=lived.record("one").commit))
    assert 3 in grave(lived)


@pytest.mark.parametrize("reason", [GateFailed(1, ("bad/1",), "g", "f" * 40, "f" * 40), Conflicts("f" * 40, ())])
def test_a_rejection_without_evidence(lived, reason):
    rewrite(lived, forged(lived, "bad/1", reason=reason))
    assert 4 in grave(lived)


def test_a_rejection_that_says_nothing(lived):
    rewrite(lived, forged(lived, "bad/1", said="", reason=AgainstRules()))
    assert 4 in grave(lived)


def test_a_submitted_head_that_nothing_reaches(lived):
    ledger = Ledger.read(lived.hub)
    orphaned = lived.hub.objects.write_commit(ledger.tree, (), "history cut off\n", 1)
    written(lived, refnames.STATE, orphaned)
    lived.git("update-ref", "-d", "refs/agentctl/outbox/ann/bad/1")
    assert 5 in grave(lived)


def test_an_object_that_is_gone(lived):
    blob = lived.git("rev-parse", "main:one.txt").strip()
    (lived.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert 5 in grave(lived)


@pytest.mark.parametrize("spoil", ["missing", "a blob", "a head", "no record", "elsewhere"])
def test_a_record_that_cannot_be_believed_is_one_finding_and_the_rest_is_proven(lived, spoil):
    path, record = codec.done_path("two/1"), lived.record("two")
    other = {"missing": "f" * 40, "a blob": lived.git("rev-parse", "main:one.txt").strip()}.get(spoil, "")
    files = {
        "a head": {path: dump(record).replace(record.change.head.encode(), b"--all")},
        "no record": {path: b"[]"},
        "elsewhere": {codec.done_path("three/1"): dump(record)},
    }.get(spoil) or {path: dump(replace(record, proof=replace(record.proof, tip=other)))}
    rewrite(lived, {**files, codec.done_path("bad/1"): None})
    said = lived.cli("verify", ok=9).stdout
    assert "bad/1 was admitted and has vanished" in said, "the rest is proven"
    assert said.count("two/1") == 1 and said.count("broken: ") == (3 if spoil == "missing" else 2), said


def test_commits_of_the_ledger_that_say_nothing_are_findings(lived):
    tree, tip = Ledger.read(lived.hub).tree, Ledger.read(lived.hub).tip
    bare = lived.hub.objects.replace(tree, {"events.json": None})
    for tree, message in ((bare, "3 events\n\nadmit \nadopt \nadopt --all for\n"), (bare, "x\n")):
        tip = lived.hub.objects.write_commit(tree, [tip], message, 1)
    odd = lived.hub.objects.replace(bare, {"events.json": b"{"})
    written(lived, refnames.STATE, lived.hub.objects.write_commit(odd, [tip], "odd\n", 1))
    said = lived.cli("verify", ok=9).stdout
    assert said.count("does not say what it is about: a") == 3 and said.count("does not say what happened") == 1, said
    assert said.count("broken: ") == 4


def test_a_verdict_and_an_answer_that_cannot_be_read(lived):
    reason = lived.record("bad").reason
    verdict = f"{reason.gate}/{reason.failed[:2]}/{reason.failed}/failed"
    tip = marks.tip(lived.hub, refnames.VERDICTS)
    tree = lived.hub.objects.replace(lived.hub.objects.commit(tip).tree, {verdict: b"[]"})
    written(lived, refnames.VERDICTS, lived.hub.objects.write_commit(tree, [tip], "odd\n", 1))
    (lived.path / ".git/refs/agentctl/outbox/ann/bad/1").write_text("odd\n")
    said = lived.cli("verify", ok=9).stdout
    assert "bad/1 was rejected by a failed verdict that contains it, and it cannot be read" in said
    assert "broken ref refs/agentctl/outbox/ann/bad/1" in said and said.count("broken: ") == 2


def test_every_ref_is_looked_at_however_many_there_are(lived, monkeypatch):
    monkeypatch.setattr(verification, "FSCKED", 2)
    gone = lived.hub.objects.write_blob(b"gone\n")
    for n in range(9):
        tree = lived.hub.objects.replace(EMPTY_TREE, {f"{n}.txt": f"{n}\n".encode()})
        lived.git("update-ref", f"refs/x/{n}", lived.hub.objects.write_commit(tree, (), f"{n}\n", 1))
    assert grave(lived) == set()
    last = max(lived.git("for-each-ref", "--format=%(objectname)").split())
    for n in range(10_000):
        tree = lived.hub.objects.write_tree({b"gone": (0o100644, gone)})
        made = lived.hub.objects.write_commit(tree, (), f"{n}\n", 1)
        if made > last:
            break
    lived.git("update-ref", "refs/x/last", made)
    (lived.path / ".git/objects" / gone[:2] / gone[2:]).unlink()
    assert [f.text for f in prove(lived.hub, "main")[1] if f.grave][-1] == f"git fsck: missing blob {gone}"
