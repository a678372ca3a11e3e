"""What the agent of a replay makes of a trunk that history did not have."""

import json
import subprocess
import sys

import pytest

from agentctl.git.objects import EMPTY_TREE
from agentctl.replay import agent, history, replay
from agentctl.replay.history import Bug
from tests.support.hub import environment

LINES = ("one", "two", "three", "four", "five", "six", "seven")


@pytest.fixture
def told(repo, tmp_path, monkeypatch):
    """A history of a file in which each task turns one line to capitals, and its agent."""
    monkeypatch.chdir(repo.path)
    return Told(repo, tmp_path)


class Told:
    def __init__(self, repo, folder):
        self.repo, self.folder = repo, folder
        self.begin = self.tree(LINES)
        self.plan = []

    def tree(self, lines):
        objects = self.repo.hub.objects
        return objects.replace(EMPTY_TREE, {"file": "".join(f"{line}\n" for line in lines).encode()})

    def happened(self, *changed):
        """A piece for each line that changes, in this order."""
        now, base = list(LINES), self.begin
        for line in changed:
            now[now.index(line)] = line.upper()
            target = self.tree(now)
            self.plan.append({"task": line, "base": base, "target": target, "bug": None})
            base = target

    def put_in_order(self, me, landed, everyone=False):
        """(the file's lines, tasks joined) when `me` comes to a trunk with all before it and `landed`."""
        index = next(i for i, p in enumerate(self.plan) if p["task"] == me)
        here = self.tree([line.upper() if line in landed else line for line in LINES])
        before = {p["task"] for p in self.plan[:index]}
        _, conflicts = agent.merge(self.plan[index]["base"], here, self.plan[index]["target"])
        tree, joined = agent.resolved(index, self.plan, before | set(landed), here, conflicts, everyone)
        return self.repo.hub.objects.read(tree, "file").decode().split(), joined


def upper(*lines):
    return [line.upper() if line in lines else line for line in LINES]


def test_later_landings_are_put_on_top_as_history_did(told):
    told.happened("one", "two", "six")
    assert told.put_in_order("one", ["two"]) == (upper("one", "two"), [])


def test_what_does_not_go_without_a_task_between_joins_it(told):
    told.happened("one", "two", "three", "six")
    assert told.put_in_order("one", ["three"]) == (upper("one", "two", "three"), ["two"])


def test_a_task_between_that_is_not_in_the_way_is_left_alone(told):
    told.happened("one", "six", "two")
    assert told.put_in_order("one", ["two"]) == (upper("one", "two"), [])


def test_at_last_all_up_to_the_newest_landing_join(told):
    told.happened("one", "six", "two", "four")
    assert told.put_in_order("one", ["two"], everyone=True) == (upper("one", "six", "two"), ["six"])


def test_no_commit_of_a_merge_is_left(told):
    def commits():
        every = subprocess.run(
            ["git", "cat-file", "--batch-all-objects", "--batch-check"], check=True, capture_output=True, text=True
        )
        return [line for line in every.stdout.splitlines() if " commit " in line]

    told.happened("one", "two", "six")
    before = commits()
    assert told.put_in_order("one", ["two"]) == (upper("one", "two"), [])
    assert commits() == before


def test_a_joined_task_counts_as_landed(told):
    (told.folder / "one.joined").write_text(json.dumps(["two"]))
    (told.folder / "six.joined").write_text(json.dumps(["seven"]))
    commit = told.repo.push({"file": "ONE\n"}, "one\n\nAgentctl-Task: one")
    assert agent.landings(str(told.folder), commit) == {"one": commit, "two": commit}


class Trunk:
    """Pieces given as commits, and the agent run for one of them in the repository's own worktree."""

    def __init__(self, repo, folder, **commits):
        self.repo, self.plan = repo, folder / "plan.json"
        trees = [repo.hub.objects.commit(c).tree for c in (repo.tip, *commits.values())]
        self.plan.write_text(
            json.dumps(
                [
                    {"task": task, "base": base, "target": target, "commits": [commit], "bug": None}
                    for (task, commit), base, target in zip(commits.items(), trees, trees[1:])
                ]
            )
        )

    def agent(self, task, answer=None):
        """Its exit status; `answer` is the rejection that it finds."""
        env = environment() | {"AGENTCTL_TASK": task, "AGENTCTL_BASE": self.repo.tip}
        if answer:
            folder = self.plan.parent / "answer"
            folder.mkdir(exist_ok=True)
            (folder / "verdict.json").write_text(json.dumps(answer))
            env["AGENTCTL_ANSWER"] = str(folder)
        return subprocess.run([sys.executable, agent.__file__, self.plan], cwd=self.repo.path, env=env).returncode


def test_an_agent_waits_for_what_it_is_to_undo(repo, tmp_path):
    added = repo.change({"extra": "one\n", "README": "read me\nand this\n"}, "add")
    undone = repo.change({"extra": None, "README": "read me\n"}, "undo", base=added)
    begin, trunk = repo.tip, Trunk(repo, tmp_path, add=added, undo=undone)
    assert trunk.agent("undo") == agent.NOT_YET
    assert repo.tip == begin
    assert trunk.agent("add") == 0
    assert repo.show("extra") == "one\n"


def test_a_rejected_change_waits_for_those_before_it_and_comes_again_only_on_another_trunk(repo, tmp_path):
    first = repo.change({"first": "1\n"}, "first")
    second = repo.change({"second": "2\n"}, "second", base=first)
    begin, trunk = repo.tip, Trunk(repo, tmp_path, first=first, second=second)
    assert trunk.agent("second") == 0
    repo.git("reset", "-q", "--hard", begin)
    rejected = {"change": "second/1", "kind": "gate"}
    assert trunk.agent("second", rejected) == agent.NOT_YET
    assert trunk.agent("first") == 0
    repo.git("commit", "-q", "--amend", "-m", "first\n\nAgentctl-Task: first")
    assert trunk.agent("second", rejected) == 0
    repo.git("reset", "-q", "--hard", "HEAD^")
    assert trunk.agent("second", {"change": "second/2", "kind": "conflict"}) == agent.NOT_YET
    repo.push({"other": "landed meanwhile\n"})
    assert trunk.agent("second", {"change": "second/2", "kind": "conflict"}) == 0


def test_what_is_done_already_is_said_with_the_commit_that_did_it(repo, tmp_path):
    first = repo.change({"first": "1\n"}, "first")
    second = repo.change({"second": "2\n"}, "second", base=first)
    trunk = Trunk(repo, tmp_path, first=first, second=second)
    joined = repo.push({"first": "1\n", "second": "2\n"}, "first\n\nAgentctl-Task: first")
    (tmp_path / "first.joined").write_text(json.dumps(["second"]))
    assert trunk.agent("second") == 0
    assert repo.git("log", "-1", "--format=%B").split() == ["second", "Landed", "with", joined]

    # Nobody says that he did it, but trunk has it all.
    (tmp_path / "first.joined").unlink()
    repo.git("reset", "-q", "--hard", joined)
    assert trunk.agent("second") == 0
    assert repo.git("log", "-1", "--format=%B").split() == ["second", "Landed", "with", joined]
    assert repo.git("diff", "--stat", joined) == ""


@pytest.mark.parametrize("joined", [["second"], []])
def test_no_bug_is_added_where_nothing_is_left_to_do(repo, tmp_path, joined):
    first = repo.change({"first": "1\n"}, "first")
    second = repo.change({"second": "2\n"}, "second", base=first)
    trunk = Trunk(repo, tmp_path, first=first, second=second)
    plan = json.loads(trunk.plan.read_text())
    plan[1]["bug"] = {"path": "second", "text": "wrong\n", "whole": False}
    trunk.plan.write_text(json.dumps(plan))
    done = repo.push({"first": "1\n", "second": "2\n"}, "first\n\nAgentctl-Task: first")
    (tmp_path / "first.joined").write_text(json.dumps(joined))
    assert trunk.agent("second") == 0
    assert repo.git("log", "-1", "--format=%B").split() == ["second", "Landed", "with", done]
    assert repo.git("diff", "--stat", done) == ""


def test_a_bug_that_was_never_handed_in_is_not_missed(repo):
    bug = Bug("bad", "BUG\n", True)
    pieces = [history.Piece(task, "", "", (), bug) for task in ("caught", "slipped", "joined")]
    repo.submit("caught", {"bad": "BUG\n"})
    repo.submit("slipped", {"good": "1\n"})
    repo.drain()
    found = replay.rejected_with_bug(repo.hub, pieces)
    assert [len(found[p.task]) for p in pieces] == [1, 0, 0]
    assert replay.unseen(repo.hub, found) == ("slipped",)


def test_a_bug_follows_its_file_to_the_folder_that_a_later_task_gave_it(repo, monkeypatch):
    monkeypatch.chdir(repo.path)
    body = "".join(f"line {n}\n" for n in range(20))
    added = repo.change({"old/part.py": body, "old/other.py": "x = 1\n"}, "add")
    renamed = repo.change({"old/part.py": None, "new/part.py": body}, "rename", base=added)
    trees = [repo.hub.objects.commit(commit).tree for commit in (added, renamed)]
    bug = Bug("old/part.py", "\nraise RuntimeError('injected')\n", False)
    buggy = history.with_bug(repo.hub, trees[1], Bug("new/part.py", bug.text, False))
    assert agent.moved(bug.path, *trees) == "new/part.py"
    assert agent.moved("old/other.py", *trees) == "old/other.py"
    assert history.holds(repo.hub, buggy, bug) and not history.holds(repo.hub, trees[1], bug)
