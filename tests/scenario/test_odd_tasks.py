"""What strangers write below refs/agentctl/tasks and refs/agentctl/claims holds up nothing but a task of that name."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from agentctl.core.tasks import claim
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import End, Session, encode
from agentctl.core.text.json_form import replace
from agentctl.fleet import conclusion
from agentctl.git.objects import EMPTY_TREE
from agentctl.hub import claims, tasks
from tests.support.agents import WORK, add, nothing_is_left, run, started, task
from tests.support.hub import PATIENCE, command, environment, eventually


def blob(repo):
    return repo.hub.objects.write_blob(b"x\n")


def work(repo):
    return repo.change({"x.txt": "x\n"})


def tree(repo):
    return repo.git("rev-parse", "main^{tree}").strip()


def bad_json(repo):
    return repo.hub.objects.write_commit(repo.hub.objects.replace(EMPTY_TREE, {"task.json": b"{"}), (), "x\n", 1)


def put(repo, name, oid):
    repo.git("update-ref", f"refs/agentctl/{name}", oid)
    return f"refs/agentctl/{name}"


def forge(repo, name, **facts):
    claim = {"agent": "mallory", "generation": 1, "expires": time.time() + 60} | facts
    return put(repo, f"claims/{name}", repo.hub.objects.write_commit(EMPTY_TREE, (), json.dumps(claim) + "\n", 1))


ODD = [
    ("claims/zz", blob),
    ("claims/zz", work),
    ("claims/zz", tree),
    ("claims/zz/deep/er", work),
    ("tasks/zz", blob),
    ("tasks/zz", bad_json),
    ("tasks/zz/yy", work),
]
IDS = [f"{name} {make.__name__}" for name, make in ODD]


def test_a_submission_that_never_was_is_named_and_goes_when_its_task_is_opened(repo):
    add(repo, "one", "two")
    done = Session(1, "agent-1", End.SUBMITTED, 1.0, 1.0, repo.tip)
    repo.submit("two", {"two.txt": "two\n"})
    conclusion.record(repo.hub, "two", replace(done, revision=1))
    assert "neither in the inbox" not in repo.cli("doctor").stdout
    conclusion.record(repo.hub, "one", replace(done, revision=999))
    named = repo.cli("doctor", ok=9).stdout
    assert "task one waits for one/999, which is neither in the inbox nor in the ledger" in named
    assert "agentctl task open one" in named and "two/1" not in named
    repo.cli("task", "open", "one", "two")
    assert (task(repo, "one")["status"], task(repo, "two")["status"]) == ("ready", "submitted")
    run(repo, WORK)
    assert sorted(repo.landings()) == ["one/1", "two/1"]
    assert "neither in the inbox" not in repo.cli("doctor").stdout


def test_sessions_that_ended_in_the_future_keep_nobody_from_work(repo):
    add(repo, "zz", "one")
    crashed = Session(1, "agent-1", End.CRASHED, time.time() + 10 * 86400, 1.0, repo.tip)
    row = [replace(crashed, generation=n + 1, agent=f"agent-{n % 2 + 1}") for n in range(11)]
    row[-1] = replace(row[-1], failure=Failure(Kind.RATE, "rate limited", row[-1].ended))
    forged = replace(tasks.get(repo.hub, "zz"), sessions=tuple(row), closed="done")
    data = repo.hub.objects.replace(EMPTY_TREE, {"task.json": encode(forged)})
    put(repo, "tasks/zz", repo.hub.objects.write_commit(data, (), "x\n", 1))
    run(repo, WORK)
    assert repo.landings() == ["one/1"]


@pytest.mark.parametrize(("name", "make"), ODD, ids=IDS)
def test_readers_name_it_and_go_on(repo, name, make):
    add(repo, "good")
    ref = put(repo, name, make(repo))
    for words in (("task", "list"), ("ps",)):
        assert repo.cli(*words).stdout.count(f"note: {ref} is passed over: ") == 1
    assert [found["id"] for found in json.loads(repo.cli("task", "list", "--json").stdout)] == ["good"]
    assert task(repo, "good")["status"] == "ready"
    repo.cli("task", "add", "--id", "next", "Another one")
    assert ref in repo.cli("doctor", ok=9).stdout
    # An agent submits in its worktree without a word of a task.
    said = run(repo, f"{WORK}; unset AGENTCTL_TASK; {' '.join(map(str, command('submit')))}").stdout
    assert said.count(f"{ref} is passed over: ") == 1
    assert repo.stages() == {"good/1": "landed", "next/1": "landed"}
    repo.cli("doctor", "--mend", "all")
    assert ref not in repo.cli("doctor").stdout
    nothing_is_left(repo)


@pytest.mark.parametrize(("name", "make"), ODD[4:6], ids=IDS[4:6])
def test_where_it_stands_no_task_is_added_and_others_run(repo, tmp_path, name, make):
    ref = put(repo, name, make(repo))
    assert ref in repo.cli("task", "add", "--id", "zz", "Do it", ok=1).stderr
    said = repo.cli("task", "show", "zz", ok=1).stderr
    assert f"{ref} does not hold what it should" in said and "hint: agentctl doctor" in said
    (tmp_path / "tasks.yaml").write_text(
        "- {id: zz, prompt: do it}\n- {id: good, prompt: do it}\n- {id: on, prompt: x, after: [zz]}\n"
    )
    said = repo.cli("run", tmp_path / "tasks.yaml", "--", "sh", "-c", WORK, ok=7).stdout
    assert task(repo, "good")["status"] == "landed"
    assert "1 of 3 landed, 1 parked, 1 blocked" in said and f"parked      zz: {ref} is in its way: " in said
    assert "blocked     on: it comes after zz, which is no task that can be read" in said
    assert (task(repo, "on")["status"], task(repo, "on")["waits_for"]) == ("blocked", ["zz"])


@pytest.mark.parametrize("name", ["claims/zz/deep/er", "tasks/zz/yy"])
def test_what_stands_below_a_name_gives_way(repo, name):
    ref = put(repo, name, work(repo))
    repo.cli("task", "add", "--id", "zz", "Do it")
    run(repo, WORK)
    assert task(repo, "zz")["status"] == "landed" and ref not in repo.refs()


@pytest.mark.parametrize(("name", "make"), ODD[:3], ids=IDS[:3])
def test_a_task_that_cannot_be_claimed_is_parked_and_others_run(repo, name, make):
    add(repo, "zz", "good")
    ref = put(repo, name, make(repo))
    said = repo.cli("spawn", "ann", "--task", "zz", "--", "true", ok=1)
    assert name.split("/")[0] in said.stdout + said.stderr and "hint: agentctl doctor" in said.stderr
    said = run(repo, WORK, ok=7).stdout
    assert (task(repo, "good")["status"], task(repo, "zz")["status"]) == ("landed", "parked")
    assert f"zz: {ref} is in its way: " in said
    repo.cli("doctor", "--mend", "kinds")
    repo.cli("task", "open", "zz")
    run(repo, WORK)
    assert task(repo, "zz")["status"] == "landed"


def test_what_comes_while_the_fleet_runs_interrupts_no_session(make_repo, tmp_path):
    repo, go = make_repo(), tmp_path / "go"
    add(repo, "zz", "good", "later", "last")
    running = started(repo, f"while ! [ -e {go} ]; do sleep 0.02; done; {WORK}", "--agents", "4")
    eventually(lambda: len(repo.refs("refs/agentctl/claims")) == 4)
    for name in ("zz", "later", "last"):
        put(repo, f"tasks/{name}", blob(repo))
        put(repo, f"claims/{name}", blob(repo))
    go.touch()
    running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    assert task(repo, "good")["status"] == "landed"
    assert repo.stages() == {f"{name}/1": "landed" for name in ("zz", "good", "later", "last")}


def test_a_task_that_is_spoilt_meanwhile_has_not_landed(make_repo, tmp_path):
    repo, go = make_repo(), tmp_path / "go"
    add(repo, "zz", "good")
    work = f"if [ $AGENTCTL_TASK = good ]; then {WORK}; else exit 1; fi"
    running = started(repo, f"while ! [ -e {go} ]; do sleep 0.02; done; {work}", "--agents", "2")
    eventually(lambda: len(repo.refs("refs/agentctl/claims")) == 2)
    put(repo, "tasks/zz", blob(repo))
    go.touch()
    running.communicate(timeout=PATIENCE)
    assert running.returncode == 7
    assert repo.landings() == ["good/1"]


def test_a_task_whose_sessions_cannot_be_run_is_parked_and_the_others_go_on(repo):
    add(repo, {"id": "good", "priority": 1}, {"id": "later", "priority": 1}, "bad")
    folder = repo.hub.own_path("sessions", "bad", "x")
    Path(folder).parent.rmdir()
    Path(folder).parent.write_text("in the way")
    run(repo, WORK, ok=7)
    assert task(repo, "bad")["status"] == "parked" and "agentctl could not run its sessions" in task(repo, "bad")["reason"]
    assert sorted(repo.landings()) == ["good/1", "later/1"]


# claims that no session made

FORGED = {"generation": 2**53 - 1}, {"expires": 9e15}, {"generation": 0}


@pytest.mark.parametrize("facts", FORGED, ids=str)
def test_a_forged_claim_blocks_nothing(repo, facts):
    add(repo, "job")
    ref = forge(repo, "job", **facts)
    assert task(repo, "job")["status"] == "ready"
    for words in (("task", "list"), ("ps",)):
        assert f"note: {ref} is passed over: no session made it: " in repo.cli(*words).stdout
    repo.submit("job", {"job.txt": "job\n"}, agent="agent-1", task="job", generation=1)
    repo.drain()
    assert repo.stages() == {"job/1": "landed"}
    repo.cli("task", "done", "job")
    # The fleet removes it, and so does the doctor.
    said = run(repo, WORK).stdout
    assert f"{ref} is passed over: no session made it: " in said
    assert repo.refs("refs/agentctl/claims") == []


def test_a_forged_claim_of_no_task_keeps_no_fleet_from_starting(repo):
    add(repo, "job")
    forge(repo, "nothing", expires=1)
    run(repo, WORK)
    nothing_is_left(repo)


@pytest.mark.parametrize("facts", [FORGED[0], {"expires": 1, "agent": "agent-1"}], ids=str)
def test_a_claim_that_is_forged_while_the_fleet_runs_ends_no_session(make_repo, tmp_path, facts):
    repo, go = make_repo(), tmp_path / "go"
    add(repo, "one")
    running = started(repo, f"while ! [ -e {go} ]; do sleep 0.02; done; {WORK}", "--agents", "1")
    eventually(lambda: repo.refs("refs/agentctl/claims"))
    repo.cli("task", "add", "--id", "two", "Another one")
    forge(repo, "two", **facts)
    # By hand it ends no session either.
    subprocess.run(command("doctor", "--mend", "claims"), cwd=repo.path, env=environment(), capture_output=True)
    go.touch()
    running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    assert [session["end"] for session in task(repo, "one")["sessions"]] == ["submitted"]
    assert task(repo, "two")["status"] == "landed"
    nothing_is_left(repo)


def test_a_real_claim_is_heeded(repo):
    add(repo, "job")
    first = Session(1, "ann", End.INTERRUPTED, 1.0, 1.0, repo.tip)
    conclusion.record(repo.hub, "job", first)
    oid = claims.claim(repo.hub, "job", made := Claim("bob", 2, time.time() + 60))
    assert tasks.survey(repo.hub).claims == {"job": (made, oid)} and tasks.held(repo.hub, "job") == made
    assert task(repo, "job")["status"] == "working" and claim.encode(made)
    repo.submit("job", {"job.txt": "job\n"}, agent="ann", task="job", generation=1)
    repo.drain()
    assert repo.stages() == {"job/1": "superseded"}


def test_what_is_known_of_tasks_does_not_grow_with_their_history(repo):
    add(repo, "one", "two")
    known = {}
    for n in range(3):
        tasks.change(repo.hub, "one", "edited", lambda task, n=n: replace(task, prompt=f"version {n}"))
        assert tasks.survey(repo.hub, cache=known).tasks["one"].prompt == f"version {n}"
    assert sorted(task.id for task in known.values()) == ["one", "two"]
