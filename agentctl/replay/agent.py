"""The agent of a replay: puts one task's change on the trunk of the moment.

Run as `python agent.py PLAN` in a worktree, with only the standard library so that it
starts fast. It makes the three-way merge that a developer's rebase would make. If that
does not go, because what it builds on has not landed, it says "not yet" (exit status
75). After a rejection that its own bug does not explain it waits until all earlier
tasks have landed. If it still does not go then, later tasks that landed first are in the
way; it *joins* all up to the last of them, as a commit that is red alone joins the ones
after it: trunk gets the tree that history had there, which is green. Those that it
joined have nothing left to do, and say so by an empty commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

NOT_YET = 75


def git(*args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(["git", *args], input=stdin, capture_output=True)
    if done.returncode not in ok:
        sys.exit(f"git {' '.join(args[:2])}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


def merge(base: str, ours: str, theirs: str) -> tuple[str, list[str]]:
    """(tree, conflicting paths) of applying the change from `base` to `theirs` to `ours`."""
    root = git("commit-tree", "-m", "base", base)
    left = git("commit-tree", "-p", root, "-m", "ours", ours)
    right = git("commit-tree", "-p", root, "-m", "theirs", theirs)
    tree, *rest = git("merge-tree", "--write-tree", "-z", "--name-only", left, right, ok=(0, 1)).split("\0")
    return tree, list(dict.fromkeys(rest[: rest.index("")])) if "" in rest and rest[0] else []


def with_paths(tree: str, paths: list[str], source: str) -> str:
    """`tree` with `paths` as they are in `source`."""
    env = {**os.environ, "GIT_INDEX_FILE": os.path.join(git("rev-parse", "--git-dir"), "replay.index")}
    lines = []
    for path in paths:
        entry = git("ls-tree", "-z", source, "--", ":(literal)" + path).split("\0")[0]
        mode, _, oid = entry.split("\t")[0].split(" ") if entry else ("0", "", "0" * 40)
        lines.append(f"{mode} {oid}\t{path}\0")
    subprocess.run(["git", "read-tree", tree], env=env, check=True)
    subprocess.run(["git", "update-index", "-z", "--index-info"], env=env, check=True,
                   input="".join(lines).encode(errors="surrogateescape"))
    return subprocess.run(["git", "write-tree"], env=env, check=True, capture_output=True, text=True).stdout.strip()


def joined_by(folder: str, landed: set[str]) -> set[str]:
    """The tasks that some landed task has joined."""
    found: set[str] = set()
    for task in landed:
        path = os.path.join(folder, task + ".joined")
        if os.path.exists(path):
            found.update(json.load(open(path)))
    return found


class Notes:
    """What the sessions of one task remember: its rejections, and the trees it handed in."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._all = json.load(open(path)) if os.path.exists(path) else {"kinds": {}, "trees": []}
        answer = os.environ.get("AGENTCTL_ANSWER")
        if answer:
            verdict = json.load(open(os.path.join(answer, "verdict.json")))
            self._all["kinds"][verdict["change"]] = verdict["kind"]
        self.kinds: list[str] = list(self._all["kinds"].values())
        self.trees: list[str] = self._all["trees"]

    def save(self, tree: str) -> None:
        self.trees.append(tree)
        write(self._path, self._all)


def main(plan_file: str) -> int:
    plan, folder = json.load(open(plan_file)), os.path.dirname(plan_file)
    task = os.environ["AGENTCTL_TASK"]
    me = next(i for i, piece in enumerate(plan) if piece["task"] == task)
    piece, notes = plan[me], Notes(os.path.join(folder, task + ".json"))
    trailer = "--format=%(trailers:key=Agentctl-Task,valueonly,separator=%x2c)"
    landed = set(git("log", "--first-parent", trailer, os.environ["AGENTCTL_BASE"]).split())
    landed |= joined_by(folder, landed)
    all_before = all(p["task"] in landed for p in plan[:me])
    buggy = piece["bug"] and "gate" not in notes.kinds
    unexplained = len(notes.kinds) - bool(piece["bug"] and not buggy)
    here = git("rev-parse", "HEAD^{tree}")
    if task in landed:
        notes.save("")
        hand_in(piece, here, bool(buggy))
        return 0
    if unexplained and not all_before:
        return not_yet("waits for the tasks before it")
    tree, conflicts = merge(piece["base"], here, piece["target"])
    if conflicts and not all_before:
        return not_yet("does not apply yet: " + " ".join(conflicts))
    if conflicts or unexplained > 1:
        last = max((i for i, p in enumerate(plan) if p["task"] in landed), default=me)
        tree = history_at(here, plan[max(me, last)]["target"])
        write(os.path.join(folder, task + ".joined"), [p["task"] for p in plan[me + 1 : last] if p["task"] not in landed])
    if unexplained and tree in notes.trees:
        return not_yet("was rejected like this before")
    notes.save("" if buggy else tree)
    hand_in(piece, tree, bool(buggy))
    return 0


def history_at(here: str, target: str) -> str:
    """The tree `target` with the policy of `here`."""
    return with_paths(here, everything(here, target), target)


def write(path: str, value: object) -> None:
    with open(path + ".new", "w") as file:
        json.dump(value, file)
    os.replace(path + ".new", path)


def not_yet(why: str) -> int:
    print(why)
    return NOT_YET


def everything(old: str, new: str) -> list[str]:
    """The paths, the policy's aside, in which two trees differ."""
    listed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).split("\0")
    return [path for path in listed if path and not path.startswith(".agentctl/")]


def hand_in(piece: dict, tree: str, buggy: bool) -> None:
    """Commit `tree` as the last commit of the piece was, with its bug if it is to have one."""
    git("read-tree", "--reset", "-u", tree)
    if buggy:
        with open(piece["bug"]["path"], "w" if piece["bug"]["whole"] else "a") as file:
            file.write(piece["bug"]["text"])
        git("add", "--", piece["bug"]["path"])
    last = piece["commits"][-1]
    author, date, message = git("log", "-1", "--format=%an <%ae>%x00%ad%x00%B", "--date=raw", last).split("\0")
    git("commit", "--quiet", "--no-verify", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim",
        "--author", author, "--date", date, "-F", "-", stdin=message.encode(errors="surrogateescape"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
