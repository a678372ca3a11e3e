"""`policy tune` on a hub with a past, and on a trace."""

from __future__ import annotations

import json
import xml.dom.minidom

import pytest

from agentctl.commands import tune
from agentctl.core import refnames
from agentctl.hub import marks, verdicts
from agentctl.hub.ledger import Ledger
from agentctl.simulation.traffic import Arrival, Traffic, write_trace
from tests.support.hub import Repo


@pytest.fixture
def past(tmp_path):
    """A hub on which four changes have landed and the gate has rejected one."""
    repo = Repo.create(tmp_path / "hub")
    for name in "abcd":
        repo.submit(name, {f"{name}.txt": f"{name}\n"}, agent="ann")
    repo.submit("bad", {"bad.txt": "BUG\n"}, agent="bob")
    repo.drain()
    assert sorted(repo.stages().values()) == ["landed"] * 4 + ["rejected"]
    return repo


def tuned(repo, *options):
    return json.loads(repo.cli("policy", "tune", "--json", *options).stdout)


def test_the_hubs_own_past_is_the_traffic(past):
    found = tuned(past, "--slots", "1,4", "--batch", "16")
    traffic = found["traffic"]
    assert (traffic["changes"], traffic["agents"], traffic["bad"], traffic["flakes"]) == (5, 2, 0.2, 0.0)
    assert traffic["gate_seconds"] > 0
    assert [(s["slots"], s["batch"]) for s in found["settings"]] == [(1, 16), (2, 64), (4, 16)]
    assert found["now"] == {"slots": 2, "batch": 64}
    assert all(s["landed"] + s["rejected"] == 500 for s in found["settings"]), "the past is repeated"


def test_each_change_takes_the_time_of_the_run_that_decided_on_it(past):
    runs = tune.runs_of(past.hub, past.record("a").proof.passed.gate)
    traffic = tune.traffic_of(Ledger.read(past.hub).ended(), runs.seconds, 1)
    records = [past.record(name) for name in "abcd"]
    assert [a.seconds for a in traffic if not a.bad] == [
        verdicts.lookup(past.hub, r.proof.passed.gate, r.proof.passed.tree, "passed").seconds for r in records
    ]
    evidence = past.record("bad").reason
    failed = verdicts.lookup(past.hub, evidence.gate, evidence.failed, "failed")
    assert [a.seconds for a in traffic if a.bad] == [failed.seconds]


def test_a_verdict_that_is_none_is_told_by_the_name_of_the_ref(past):
    gate, objects = past.record("a").proof.passed.gate, past.hub.objects
    tree = objects.commit(past.git("rev-parse", refnames.VERDICTS).strip()).tree
    forged = objects.replace(tree, {f"{gate}/aa/{'a' * 40}/passed": b"[]"})
    past.git("update-ref", refnames.VERDICTS, objects.write_commit(forged, (), "as if a bot had\n", 1))
    marks.accept(past.hub, refnames.VERDICTS)
    assert refnames.VERDICTS in past.cli("policy", "tune", ok=1).stderr


def test_the_table_marks_the_setting_in_force_and_the_picture_is_drawn(past, tmp_path):
    picture = tmp_path / "tune.svg"
    told, heads, *rows = past.cli("policy", "tune", "--slots", "1,2", "--batch", "64", "--plot", picture).stdout.splitlines()
    assert told.startswith("5 changes of 2 agents, 20.0% bad") and "P95" in heads.split()
    assert [row.startswith("*") for row in rows] == [False, True]
    drawn = xml.dom.minidom.parse(str(picture))
    assert len(drawn.getElementsByTagName("polyline")) == 2


def test_the_same_past_gives_the_same_table(past):
    assert tuned(past, "--slots", "2") == tuned(past, "--slots", "2")


def test_a_trace_needs_no_hub(tmp_path):
    trace, repo = tmp_path / "trace.jsonl", Repo.create(tmp_path / "hub")
    trace.write_text("".join(write_trace(Traffic(risks=(0.1,), rate=1 / 60, seconds=600.0, count=400))))
    found = tuned(repo, "--trace", trace, "--slots", "1,16", "--batch", "1,64", "--flakes", "1%")
    one, few, many, both = found["settings"]
    assert found["now"] is None and found["traffic"]["flakes"] == 0.01
    assert one["most"] > few["most"] > both["most"], "batches help, slots help"
    assert one["landed_an_hour"] < 6.5 and both["landed_an_hour"] > 40, "six gates an hour in one slot"
    assert many["gate_hours"] > few["gate_hours"]


def test_without_a_past_it_says_what_to_do(tmp_path):
    repo = Repo.create(tmp_path / "hub")
    assert "policy tune --trace" in repo.cli("policy", "tune", ok=4).stderr
    broken = tmp_path / "trace.jsonl"
    broken.write_text("".join(write_trace([Arrival(1.0)])) + "{}\n")
    assert "line 2" in repo.cli("policy", "tune", "--trace", broken, ok=2).stderr
    repo.cli("policy", "tune", "--trace", tmp_path / "missing", ok=4)
