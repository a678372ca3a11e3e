"""The doctor: what is broken is found, and the command it names mends it and loses nothing.

Each fault is a function that damages a hub and says how the finding begins. The mend that is printed is typed into
a shell; afterwards the finding is gone, and every byte and commit that somebody made is in a file or held by a ref.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time

import pytest

from agentctl.core.tasks import claim
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import Session, Task
from agentctl.doctor import examination, machine
from agentctl.engine import owner
from agentctl.engine.processes import MARK
from agentctl.errors import Infrastructure
from agentctl.fleet.pace import Pace
from agentctl.git import folders
from agentctl.hub import claims, tasks
from agentctl.hub.hindrance import Hindrance
from tests.support import zygote
from tests.support.agents import kill
from tests.support.hub import PATIENCE, cli, command, environment, eventually, git, policy, write
from tests.support.team import Team


def doctor(repo, ok=None):
    done = zygote.run(["doctor", "--json"], repo.path, environment(), "", PATIENCE)
    assert done.returncode == (ok if ok is not None else done.returncode) and done.returncode in (0, 9), done
    return json.loads(done.stdout)


def typed(repo, line, tmp_path, ok=0):
    """Type a command into a shell, with an agentctl on the PATH; where a shell would only split its words, they are split here."""
    words = shlex.split(line)
    if words[0] == "agentctl" and shlex.join(words) == line:
        return cli(*words[1:], cwd=repo.path, ok=ok).stdout
    shim = tmp_path / "bin" / "agentctl"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m agentctl "$@"\n')
    shim.chmod(0o755)
    env = environment() | {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", line], cwd=repo.path, env=env, capture_output=True, text=True)
    assert done.returncode == ok, done
    return done.stdout


def asked(repo, *args):
    """What Git says; it may wait for a pipe among its refs for ever."""
    try:
        return subprocess.run(["git", *args], cwd=repo.path, capture_output=True, text=True, timeout=5).stdout
    except subprocess.TimeoutExpired:
        return ""


def content(path):
    with open(path, "rb") as file:
        return file.read()


def held(repo):
    """The ids of all that refs hold, of the files in checkouts and agents' worktrees, and of what is staged there."""
    found = {line.split()[0] for line in asked(repo, "rev-list", "--objects", "--all").splitlines()}
    found |= set(asked(repo, "for-each-ref", "--format=%(objectname)").split())
    for top in {
        repo.path,
        *(
            line.removeprefix("worktree ")
            for line in asked(repo, "worktree", "list", "--porcelain").splitlines()
            if line.startswith("worktree ")
        ),
    }:
        files = [
            os.path.join(where, name)
            for where, folders, names in os.walk(top)
            if ".git" not in where.split(os.sep)
            for name in names
            if name != ".git" and os.path.isfile(os.path.join(where, name))
        ]
        found |= {hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest() for path in files for data in [content(path)]}
        staged = subprocess.run(["git", "ls-files", "-s"], cwd=top, capture_output=True, text=True).stdout
        found |= {line.split()[1] for line in staged.splitlines()}
    return found


def dead():
    """The identity of a process that has ended."""
    child = subprocess.Popen(["sleep", "1000"])
    who = owner.identity(child.pid)
    child.kill()
    child.wait()
    return who


# what killed processes left


def a_lock_that_git_left(repo):
    (repo.path / ".git/packed-refs.lock").touch()
    return "a Git that died left"


def a_lock_from_the_future(repo):
    path = repo.path / ".git/refs/heads/topic.lock"
    path.touch()
    os.utime(path, (time.time() + 86_400,) * 2)
    return "a Git that died left"


def the_lock_of_an_index(repo):
    (repo.path / ".git/index.lock").touch()
    return "a Git that died left"


def a_process_that_nobody_watches(repo):
    repo.left = subprocess.Popen(["sleep", "1000"], env=os.environ | {MARK: repo.hub.mark + "gate"})
    return "1 process of gates or sessions"


def a_bot_that_was_killed(repo):
    repo.submit("slow", {"slow.txt": "SLOW\n"})
    bot = subprocess.Popen(command("bot", "run"), cwd=repo.path, env=environment(), stdout=subprocess.DEVNULL)
    eventually(lambda: repo.refs("refs/agentctl/stage"))
    kill(bot, True, repo.hub.mark)
    return "the gates' worktrees in"


def a_claim_whose_supervisor_died(repo):
    repo.cli("task", "add", "Fix it")
    claims.claim(repo.hub, "fix-it", Claim("bob", 1, time.time() + 60, dead()))
    return "the claim of bob on fix-it outlived its supervisor"


def a_claim_that_no_session_made(repo):
    repo.cli("task", "add", "Fix it")
    claims.claim(repo.hub, "fix-it", Claim("mallory", 2**53 - 1, time.time() + 60, owner.identity()))
    return "the claim of mallory on fix-it is not heeded, since no session made it: it is of generation 9007199254740991"


def an_agent_without_a_session(repo):
    repo.cli("spawn", "bob", "--", "true", ok=1)
    return "bob has a worktree but runs no session"


def an_agent_with_work_that_was_not_submitted(repo):
    repo.cli("spawn", "bob", "--", "true", ok=1)
    write(repo.path.parent / "repo.agentctl/agents/bob", {"work.txt": "hours of work\n"})
    return "bob has a worktree but runs no session"


# configuration


def core_bare(repo):
    repo.git("config", "core.bare", "true")
    return "core.bare is set"


def a_configured_trunk_that_is_not_there(repo):
    repo.git("config", "agentctl.trunk", "gone")
    return "agentctl.trunk names 'gone', and there is no such branch"


def a_configured_trunk_that_is_not_the_policys(repo):
    repo.git("branch", "topic")
    repo.git("config", "agentctl.trunk", "topic")
    return "agentctl.trunk names 'topic', which is not trunk"


def a_trunk_that_only_the_remote_has(repo):
    repo.git("update-ref", "refs/remotes/origin/develop", repo.push({".agentctl/policy.yaml": policy(trunk="develop")}))
    return "the policy on main names 'develop' as trunk"


# refs


def broken(repo, name, content=""):
    path = repo.path / ".git" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return f"broken ref {name}"


def an_empty_ref(repo):
    return broken(repo, "refs/agentctl/tasks/half") + ": it is empty"


def a_ref_that_holds_no_id(repo):
    return broken(repo, "refs/heads/half", "12345\n")


def a_ref_whose_object_is_missing(repo):
    return broken(repo, "refs/heads/half", "1" * 40 + "\n") + ": object 1111111"


def a_packed_ref_whose_object_is_missing(repo):
    with open(repo.path / ".git/packed-refs", "a") as file:
        file.write("1" * 40 + " refs/heads/half\n")
    return "broken ref refs/heads/half"


def a_ref_with_a_name_that_git_does_not_take(repo):
    return broken(repo, "refs/heads/half..done", repo.tip + "\n")


def precious(repo):
    folder = repo.path.parent / "precious"
    write(folder, {"deed": "my house\n"})
    return folder


def a_link_to_a_folder_elsewhere(repo):
    (repo.path / ".git/refs/agentctl").mkdir()
    os.symlink(precious(repo), repo.path / ".git/refs/agentctl/inbox")
    return "broken ref refs/agentctl/inbox: it is a link to"


def a_link_to_a_file_elsewhere(repo):
    os.symlink(precious(repo) / "deed", repo.path / ".git/refs/heads/link")
    return "broken ref refs/heads/link: it is a link to"


def a_pipe(repo):
    os.mkfifo(repo.path / ".git/refs/heads/pipe")
    return "broken ref refs/heads/pipe: it is not a file but a FIFO"


def trunk_empty(repo):
    repo.known = repo.push({"new.txt": "new\n"})
    return broken(repo, "refs/heads/main")


def a_ledger_that_is_empty(repo):
    repo.submit("one", {"one.txt": "one\n"})
    repo.drain()
    return broken(repo, "refs/agentctl/state")


def an_inbox_ref_of_another_form(repo):
    repo.git("update-ref", "refs/agentctl/inbox/ann/fix", repo.change({"fix": "fixed\n"}))
    return "refs/agentctl/inbox/ann/fix is not a submission"


def a_submission_that_never_was(repo):
    repo.cli("task", "add", "--id", "fix-it", "do it")
    forged = Session(1, "agent-1", End.SUBMITTED, 1.0, 1.0, repo.tip, 999)
    tasks.change(repo.hub, "fix-it", "forged", lambda task: task.add(forged))
    return "task fix-it waits for fix-it/999, which is neither in the inbox nor in the ledger"


def a_claim_that_is_none(repo):
    repo.git("update-ref", "refs/agentctl/claims/fix", repo.change({"claim.txt": "a claim?\n"}))
    return "refs/agentctl/claims/fix is not a claim"


def a_claim_with_files(repo):
    text = claim.encode(Claim("bob", 1, time.time() + 60))
    repo.git("update-ref", "refs/agentctl/claims/fix", repo.change({"work.txt": "work\n"}, text))
    return "refs/agentctl/claims/fix is not a claim"


def a_ledger_changed_by_hand(repo):
    repo.submit("one", {"one.txt": "one\n"})
    repo.drain()
    repo.git(
        "update-ref",
        "refs/agentctl/state",
        repo.change({"meta.json": "{}\n"}, base=repo.git("rev-parse", "refs/agentctl/state").strip()),
    )
    return "refs/agentctl/state does not hold what it should"


def a_task_that_is_none(repo):
    repo.git("update-ref", "refs/agentctl/tasks/one", repo.change({"task.txt": "a task?\n"}))
    return "refs/agentctl/tasks/one does not hold what it should"


def verdicts_that_are_none(repo):
    repo.git("update-ref", "refs/agentctl/verdicts", repo.git("hash-object", "-w", "README").strip())
    return "refs/agentctl/verdicts does not hold what it should"


def a_ref_in_the_place_of_the_ledger(repo):
    repo.git("update-ref", "refs/agentctl/state/odd", repo.change({"odd.txt": "odd\n"}))
    return "refs/agentctl/state/odd does not hold what it should"


def trunk_moved_back(repo):
    repo.submit("one", {"one.txt": "one\n"})
    repo.drain()
    repo.git("reset", "-q", "--hard", "main^")
    return "trunk was moved"


def a_file_in_the_place_of_a_folder(repo):
    return _in_the_place_of(repo, "sessions")


def a_file_in_the_place_of_all_that_is_kept(repo):
    return _in_the_place_of(repo, ".")


def a_file_in_the_place_of_the_scratch_folder(repo):
    return _in_the_place_of(repo, "scratch")


def a_link_to_nothing_in_the_place_of_logs(repo):
    (repo.path / ".git/agentctl/logs").mkdir(parents=True, exist_ok=True)
    (repo.path / ".git/agentctl/logs/agents").symlink_to("nowhere")
    return f"{repo.path}/.git/agentctl/logs/agents is no folder"


def a_folder_in_the_place_of_the_marks(repo):
    repo.submit("one", {"one.txt": "one\n"})
    repo.drain()
    return _in_the_place_of(repo, "marks.json")


def _in_the_place_of(repo, name):
    """Put a file in the place of a folder of ours, or a folder in the place of a file; what was there is beside it."""
    path, folder = repo.path / ".git/agentctl" / name, name.endswith(".json")
    if path.exists():
        path.rename(path.parent / "x")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if folder else path.write_text("mine\n")
    return f"{path} is no {'file' if folder else 'folder'}"


MENDED = {
    "files": (
        a_file_in_the_place_of_a_folder,
        a_file_in_the_place_of_all_that_is_kept,
        a_file_in_the_place_of_the_scratch_folder,
        a_link_to_nothing_in_the_place_of_logs,
        a_folder_in_the_place_of_the_marks,
    ),
    "locks": (a_lock_that_git_left, a_lock_from_the_future, the_lock_of_an_index),
    "processes": (a_process_that_nobody_watches,),
    "handed-in": (a_submission_that_never_was,),
    "slots": (a_bot_that_was_killed,),
    "claims": (a_claim_whose_supervisor_died, a_claim_that_no_session_made),
    "agents": (an_agent_without_a_session, an_agent_with_work_that_was_not_submitted),
    "bare": (core_bare,),
    "trunk": (a_configured_trunk_that_is_not_there, a_configured_trunk_that_is_not_the_policys),
    "policy": (a_trunk_that_only_the_remote_has,),
    "refs": (
        an_empty_ref,
        a_ref_that_holds_no_id,
        a_ref_whose_object_is_missing,
        a_packed_ref_whose_object_is_missing,
        a_ref_with_a_name_that_git_does_not_take,
        a_link_to_a_folder_elsewhere,
        a_link_to_a_file_elsewhere,
        a_pipe,
        trunk_empty,
        a_ledger_that_is_empty,
    ),
    "kinds": (an_inbox_ref_of_another_form, a_claim_that_is_none, a_claim_with_files),
    "moved": (trunk_moved_back,),
    "records": (a_ledger_changed_by_hand, a_task_that_is_none, verdicts_that_are_none, a_ref_in_the_place_of_the_ledger),
}
"""By check. Those of checkouts are in a file of their own."""


@pytest.mark.parametrize("damage", [fault for faults in MENDED.values() for fault in faults], ids=lambda fault: fault.__name__)
def test_the_mend_that_is_printed_mends_and_loses_nothing(repo, tmp_path, damage):
    before = held(repo)
    words = damage(repo)
    own = asked(repo, "rev-list", "--objects", "--no-object-names", "refs/agentctl/claims/fix-it").split()
    before |= held(repo)
    [finding] = [f for f in doctor(repo, ok=9) if f["what"].startswith(words)]
    assert finding["mend"]
    typed(repo, finding["mend"], tmp_path)
    assert [f for f in doctor(repo) if f["what"].startswith(words[:40])] == []
    # A claim is nobody's work: what it says is written down where it is released.
    lost = before - held(repo) - {"1" * 40, *own}
    assert lost == set()
    if (tmp_path / "precious").exists():
        assert (tmp_path / "precious/deed").read_text() == "my house\n"
    repo.proven()


@pytest.mark.parametrize("damage", [an_empty_ref, core_bare, a_claim_that_is_none], ids=lambda fault: fault.__name__)
def test_all_is_mended_at_once(repo, tmp_path, damage):
    damage(repo)
    typed(repo, "agentctl doctor --mend all", tmp_path)
    typed(repo, "agentctl doctor --mend all", tmp_path)
    assert [f["what"] for f in doctor(repo)] == (
        ["core.bare is set, and " + str(repo.path) + " has a checkout, which nobody brings along"] if damage is core_bare else []
    )


def test_a_mend_works_from_elsewhere(repo, tmp_path):
    an_empty_ref(repo)
    found = subprocess.run(
        command("-C", repo.path, "doctor", "--json"), cwd="/", env=environment(), capture_output=True, text=True
    )
    [finding] = json.loads(found.stdout)
    assert finding["mend"] == f"agentctl -C {repo.path} doctor --mend refs"


def test_a_sound_hub_has_no_findings(repo):
    before = repo.git("for-each-ref")
    assert doctor(repo, ok=0) == []
    assert "all well" in repo.cli("doctor").stdout
    assert repo.git("for-each-ref") == before


def test_what_a_broken_ref_held_comes_back(repo, tmp_path):
    trunk_empty(repo)
    assert "from its reflog" in typed(repo, "agentctl doctor --mend refs", tmp_path)
    assert repo.tip == repo.known

    repo.submit("one", {"one.txt": "one\n"})
    repo.drain()
    state, tip = repo.git("rev-parse", "refs/agentctl/state"), repo.tip
    broken(repo, "refs/agentctl/state", "")
    assert "from a commit that nothing held" in typed(repo, "agentctl doctor --mend refs", tmp_path)
    assert repo.git("rev-parse", "refs/agentctl/state") == state

    os.unlink(repo.path / ".git/logs/refs/heads/main")
    broken(repo, "refs/heads/main", "")
    assert "from the ledger" in typed(repo, "agentctl doctor --mend refs", tmp_path)
    assert repo.tip == tip
    repo.proven()


def test_an_older_packed_value_does_not_come_back_for_a_newer_one(repo, tmp_path):
    repo.git("pack-refs", "--all")
    known = repo.push({"new.txt": "new\n"})
    broken(repo, "refs/heads/main", "")
    typed(repo, "agentctl doctor --mend refs", tmp_path)
    assert repo.tip == known


def test_a_claim_of_a_living_supervisor_is_none_of_its_business(repo):
    repo.cli("task", "add", "Fix it")
    claims.claim(repo.hub, "fix-it", Claim("eve", 1, time.time() + 60, owner.identity()))
    assert doctor(repo, ok=0) == []


# what only a person can decide


def gate_without_its_program(make):
    return make(gate="no-such-tool --fast"), "gates.check.run calls no-such-tool"


def agents_without_their_program(make):
    text = policy().replace("agents:\n", "agents:\n  command: [no-such-agent]\n")
    return make(files={".agentctl/policy.yaml": text}), "the agent's program 'no-such-agent' is not on the PATH"


def setup_without_its_program(make):
    text = policy() + "slot:\n  setup: no-such-setup\n"
    return make(files={".agentctl/policy.yaml": text}), "slot.setup calls no-such-setup"


def agents_setup_without_its_program(make):
    text = policy().replace("agents:\n", "agents:\n  setup: no-such-setup\n")
    return make(files={".agentctl/policy.yaml": text}), "agents.setup calls no-such-setup"


def globs_that_match_nothing(make):
    text = policy().replace("name: check", "name: check\n    paths: [src]")
    return make(files={".agentctl/policy.yaml": text, "src/a": "a\n"}), "gates.check.paths names the directory src"


def approvals_of_a_directory(make):
    text = policy() + "approvals: [{paths: ['*.x', src]}]\n"
    return make(files={".agentctl/policy.yaml": text, "src/a": "a\n"}), "approvals[0].paths names the directory src"


def an_invalid_policy(make):
    return make(files={".agentctl/policy.yaml": "version: 1\n"}), ".agentctl/policy.yaml:1:1: missing key 'gates'"


def no_policy(make):
    repo = make()
    repo.push({".agentctl/policy.yaml": None})
    return repo, "there is no .agentctl/policy.yaml on main"


def a_filter_that_is_configured_nowhere(make):
    return make(
        files={".gitattributes": "*.bin filter=secret\n"}
    ), ".gitattributes names the filter secret, which is configured nowhere"


def a_filter_of_this_repository_alone(make):
    repo = make(files={"sub/.gitattributes": "# *.x filter=none\n*.bin filter=secret -text\n"})
    repo.git("config", "filter.secret.clean", "cat")
    return repo, ".gitattributes names the filter secret, configured in this repository alone"


def a_red_trunk(make):
    repo = make(files={"trunk.txt": "BUG\n"})
    repo.cli("bot", "run", "--once", ok=125)
    return repo, "trunk is red: check: exit status 1"


def a_gate_whose_setup_fails(make):
    repo = make(files={".agentctl/policy.yaml": policy() + "slot:\n  setup: exit 3\n"})
    repo.submit("one", {"one.txt": "one\n"})
    repo.cli("bot", "run", "--once", ok=125)
    return repo, "the last gate run did not come past its setup: slot setup: exit status 3"


def a_gate_that_gives_no_verdict(make):
    repo = make(gate="exit 125")
    repo.submit("one", {"one.txt": "one\n"})
    repo.cli("bot", "run", "--once", ok=125)
    return repo, "the last gate run gave no verdict: check: exit status 125"


def agents_whose_setup_fails(make):
    repo = make(files={".agentctl/policy.yaml": policy(attempts=1).replace("agents:\n", "agents:\n  setup: exit 3\n")})
    repo.cli("task", "add", "--id", "one", "Do one")
    repo.cli("spawn", "ann", "--task", "one", "--", "true", ok=1)
    return repo, "the last session did not come past its setup"


def a_trunk_that_is_not_published(make):
    repo = make(files={".agentctl/policy.yaml": policy().replace("trunk: main", "trunk: main\npublish: origin")})
    there = repo.path.parent / "origin.git"
    git(repo.path.parent, "clone", "-q", "--bare", str(repo.path), str(there))
    repo.git("remote", "add", "origin", str(there))
    repo.cli("bot", "run", "--once")
    write(there, {"hooks/pre-receive": "#!/bin/sh\nexit 1\n"})
    (there / "hooks/pre-receive").chmod(0o755)
    repo.submit("one", {"one.txt": "one\n"})
    repo.cli("bot", "run", "--once", ok=7)
    return repo, "1 commit of trunk is not published at origin"


def a_fleet_that_is_held_up(make):
    repo = make()
    Hindrance(repo.hub).tell("the key is refused")
    return repo, "what runs here is held up: the key is refused"


def something_in_the_place_of_a_worktree(make):
    repo = make()
    os.makedirs(repo.hub.worktrees + "/agents")
    os.symlink(repo.path, repo.hub.worktrees + "/agents/ann")
    repo.cli("rm", "--force", "ann")
    return repo, repo.hub.worktrees + "/aside/ann-1 stood in the place"


def a_merge_under_way(make):
    repo = make()
    repo.git("update-ref", "refs/heads/other", repo.change({"README": "other\n"}))
    repo.push({"README": "mine\n"})
    subprocess.run(["git", "merge", "-q", "other"], cwd=repo.path, capture_output=True)
    return repo, f"{repo.path} has main checked out, and a merge under way"


NOTED = {
    "programs": (gate_without_its_program, setup_without_its_program, agents_setup_without_its_program),
    "adapter": (agents_without_their_program,),
    "globs": (globs_that_match_nothing, approvals_of_a_directory),
    "policy": (an_invalid_policy, no_policy),
    "filters": (a_filter_that_is_configured_nowhere, a_filter_of_this_repository_alone),
    "red": (a_red_trunk,),
    "published": (a_trunk_that_is_not_published,),
    "held": (a_fleet_that_is_held_up,),
    "verdict": (a_gate_that_gives_no_verdict,),
    "setup": (a_gate_whose_setup_fails, agents_whose_setup_fails),
    "checkout": (a_merge_under_way,),
    "aside": (something_in_the_place_of_a_worktree,),
}


@pytest.mark.parametrize("fault", [fault for faults in NOTED.values() for fault in faults], ids=lambda fault: fault.__name__)
def test_what_a_person_has_to_decide_has_a_note_and_no_command(make_repo, fault):
    repo, words = fault(make_repo)
    [finding] = [f for f in doctor(repo, ok=9) if f["what"].startswith(words)]
    assert finding["mend"] == "" and finding["note"]


def test_what_only_a_person_can_end_is_said(repo):
    for kind, hint in ((Kind.KEY, "renew the key that "), (Kind.RATE, "it goes on by itself when ")):
        told = Pace(1, 30.0, (), 1000.0, lambda event: None)
        failed = Session(1, "ann", End.CRASHED, 2000.0, 1.0, "tip", failure=Failure(kind, "its words"))
        told.ended(Task("t", "", ""), 1999.0, failed, 2000.0)
        Hindrance(repo.hub).tell(told.held(2001.0))
        [finding] = doctor(repo, ok=9)
        assert finding["note"].startswith(hint)


def test_a_full_disk(repo, monkeypatch, capsys):
    from agentctl import cli

    monkeypatch.setattr(machine, "ROOM", 1 << 62)
    assert cli.run(["-C", str(repo.path), "doctor"]) == 9
    assert "MiB are free" in capsys.readouterr().out


def test_every_check_is_tested():
    here = {*MENDED, *NOTED, "disk"}
    # Of a file system on which locks do not work there is none at hand.
    assert here | {"locking"} == {check.name for check in examination.ALL}


@pytest.mark.parametrize("name", [".", "station", "station/id", "station/seen", "station/lock"])
def test_what_is_in_the_place_of_something_at_a_station_is_found_without_a_look_at_the_remote(tmp_path, name):
    station = Team(tmp_path).station("ann")
    assert station.hub.home
    path = station.path / ".git/agentctl" / name
    path.rename(tmp_path / "x")
    path.write_text("mine\n") if (tmp_path / "x").is_dir() else path.mkdir()
    [finding] = doctor(station, ok=9)
    assert finding["what"] == f"{path} is no {'folder' if path.is_file() else 'file'}"
    typed(station, finding["mend"], tmp_path)
    assert doctor(station, ok=0) == [] and os.path.lexists(f"{path}.aside")


@pytest.mark.parametrize("name", [".", "locks", "locks/stale.lock"])
@pytest.mark.parametrize("mend", ["files", "all"])
def test_the_hubs_own_folder_is_mended_before_the_locks_that_a_killed_git_left(repo, tmp_path, name, mend):
    path, lock = repo.path / ".git/agentctl" / name, repo.path / ".git/refs/heads/main.lock"
    folders.remove(str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if path.suffix else path.write_text("mine\n")
    lock.touch()
    os.utime(lock, (1, 1))
    [finding] = doctor(repo, ok=9)
    assert finding["mend"] == "agentctl doctor --mend files"
    typed(repo, f"agentctl doctor --mend {mend}", tmp_path)
    assert doctor(repo, ok=0) == [] and os.path.lexists(f"{path}.aside") and not lock.exists()


@pytest.mark.parametrize("at_a_station", [False, True])
def test_it_knows_what_agentctl_keeps_in_the_hubs_own_folder(repo, tmp_path, at_a_station):
    if at_a_station:
        repo = Team(tmp_path).station("ann")
    repo.cli("task", "add", "--id", "one", "Do one")
    repo.cli("spawn", "ann", "--task", "one", "--", "sh", "-c", "echo 1 > one.txt")
    repo.cli("bot", "run", "--once")
    repo.cli("scale", "1")
    own = repo.path / ".git/agentctl"
    tops = [name for name in ("", "locks", "logs", "station", "worktrees") if at_a_station or name != "station"]
    there = {path for top in tops for path in (own / top).iterdir() if path.suffix != ".lock"}
    assert {str(path.relative_to(own)) for path in there} <= {*machine.FOLDERS, *machine.FILES}


def test_what_is_mended_is_not_found_again(make_repo):
    # A red trunk that was mended, and a filter that was configured for all.
    repo, _ = a_red_trunk(make_repo)
    repo.push({"trunk.txt": "fine\n", ".gitattributes": "*.bin filter=secret\n"})
    git(repo.path, "config", "--global", "filter.secret.smudge", "cat")
    repo.drain()
    assert doctor(repo, ok=0) == []


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("step", ["gate", "setup"])
def test_a_gate_run_without_a_verdict_is_told_as_long_as_a_gate_has_something_to_judge(make_repo, tmp_path, retries, step):
    gone = tmp_path / "gone"
    line = f"if [ -e {gone} ]; then exit 125; fi"
    text = policy(gate=line if step == "gate" else "exit 0", retries=retries) + (f"slot:\n  setup: {line}\n" * (step == "setup"))
    repo = make_repo(files={".agentctl/policy.yaml": text})
    repo.trunk_judged()
    gone.touch()
    repo.submit("one", {"one.txt": "one\n"})
    with pytest.raises(Infrastructure, match="the gate gave no verdict"):
        repo.drain()
    [finding] = doctor(repo, ok=9)
    assert "exit status 125" in finding["what"]
    told = repo.cli("why", "one").stdout
    assert "the last gate run gave no verdict" in told
    assert told.count(" indeterminate: ") == told.count(" of one/1: ") == retries + 1, "no probe begins that nobody runs"
    repo.cli("withdraw", "one")
    gone.unlink()
    repo.drain()
    assert doctor(repo, ok=0) == []


def test_a_gate_run_of_trunk_itself_without_a_verdict_is_told_until_trunk_is_proven(make_repo, tmp_path):
    gone = tmp_path / "gone"
    gone.touch()
    repo = make_repo(gate=f"if [ -e {gone} ]; then exit 125; fi", retries=0)
    with pytest.raises(Infrastructure, match="the gate gave no verdict"):
        repo.drain()
    [finding] = doctor(repo, ok=9)
    assert finding["what"].startswith("the last gate run gave no verdict")
    gone.unlink()
    repo.drain()
    assert doctor(repo, ok=0) == []


@pytest.mark.parametrize(
    "line, missing",
    [
        ("no-such-tool --fast", "no-such-tool"),
        ("A=1 no-such-tool", "no-such-tool"),
        ("./absent.sh", "./absent.sh"),
        ("sh check.sh", ""),
        ("./check.sh", ""),
        ("if true; then sh check.sh; fi", ""),
        ("(cd . && sh check.sh)", ""),
        ("'no-such-tool'", ""),
    ],
)
def test_the_programs_of_gates(make_repo, line, missing):
    found = doctor(make_repo(gate=json.dumps(line)), ok=9 if missing else 0)
    assert [f["what"].split()[2] for f in found] == ([f"{missing},"] if missing else [])
