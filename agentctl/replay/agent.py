"""The agent of a replay: puts one task's change on the trunk of the moment.

Run as `python agent.py PLAN` in a worktree, with only the standard library so that it
starts fast. It makes the three-way merge that a developer's rebase would make. If that
does not go, because what it builds on has not landed, it says "not yet" (exit status
75). After a rejection that its own bug does not explain it waits until all earlier
tasks have landed. Then nothing it builds on is missing, and what is in the way still are
later tasks that landed first: their changes are put on top of this one's, as history has
it. A tree that was rejected is never handed in again before trunk has moved; when all
others have landed, this one's tree is the history's last.
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


def as_history_has_it(me: int, plan: list[dict], landed: set[str]) -> str:
    """This task's tree with the changes of the later ones that landed before it."""
    tree = plan[me]["target"]
    for later in plan[me + 1 :]:
        if later["task"] in landed:
            mixed, conflicts = merge(later["base"], tree, later["target"])
            tree = with_paths(mixed, conflicts, later["target"]) if conflicts else mixed
    return tree


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
        with open(self._path + ".new", "w") as file:
            json.dump(self._all, file)
        os.replace(self._path + ".new", self._path)


def main(plan_file: str) -> int:
    plan = json.load(open(plan_file))
    task = os.environ["AGENTCTL_TASK"]
    me = next(i for i, piece in enumerate(plan) if piece["task"] == task)
    piece, base = plan[me], os.environ["AGENTCTL_BASE"]
    notes = Notes(os.path.join(os.path.dirname(plan_file), task + ".json"))
    trailer = "--format=%(trailers:key=Agentctl-Task,valueonly,separator=%x2c)"
    landed = set(git("log", "--first-parent", trailer, base).split())
    all_before = all(p["task"] in landed for p in plan[:me])
    buggy = piece["bug"] and "gate" not in notes.kinds
    unexplained = len(notes.kinds) - bool(piece["bug"] and not buggy)
    if unexplained and not all_before:
        return not_yet("waits for the tasks before it")
    tree, conflicts = merge(piece["base"], git("rev-parse", "HEAD^{tree}"), piece["target"])
    if conflicts and not all_before:
        return not_yet("does not apply yet: " + " ".join(conflicts))
    if unexplained > 1 or conflicts:
        wanted = as_history_has_it(me, plan, landed)
        tree = with_paths(tree, conflicts or everything(tree, wanted), wanted)
    if unexplained and tree in notes.trees:
        return not_yet("was rejected like this before")
    notes.save("" if buggy else tree)
    hand_in(piece, tree, bool(buggy))
    return 0


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
