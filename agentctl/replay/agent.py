"""The scripted agent of a replay: it puts one task's change on the present trunk.

It is run as `python agent.py PLAN` in a worktree, with only the standard library so that it starts fast. It makes the
three-way merge that a developer's rebase would make. If this conflicts because what the change builds on has not
landed, the agent says "not yet" (exit status 75). It says so too if the number of changed lines is not that of the
history: where the change undoes something that has not landed, Git takes its absence for the same change made
already. After a rejection that its own bug does not explain, the agent waits until all earlier tasks have landed.

If the merge still conflicts then, later tasks that landed first are in the way. The agent puts their changes on top
of its own, in the order of history. If that conflicts, a task between them that has not landed is missing: the
agent's task *joins* that one, as a commit that is red alone joins the ones after it. After two rejections by the gate
that its own bug does not explain, it joins all tasks up to the last one that landed: that is a tree of the history,
which is green. The tasks that it joined have nothing left to do, and say so by an empty commit that names the one on
trunk.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

TYPE_CHECKING = False
"""As `typing.TYPE_CHECKING`, but without the import of `typing`, which takes milliseconds."""
if TYPE_CHECKING:
    from typing import TypedDict

    class Bug(TypedDict):
        """The fields of a `history.Bug`."""

        path: str
        text: str
        whole: bool

    class Piece(TypedDict):
        """The fields of a `history.Piece`."""

        task: str
        base: str
        target: str
        commits: list[str]
        bug: Bug | None

    class Past(TypedDict):
        """What the sessions of one task remember."""

        kinds: dict[str, str]
        """The kind of each rejection of the task, by the key of the change."""
        attempts: list[str]


NOT_YET = 75
TASKS = "--format=%H %(trailers:key=Agentctl-Task,valueonly,separator=%x2c)"


def git(*args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,), env: dict[str, str] | None = None) -> str:
    done = subprocess.run(["git", *args], input=stdin, capture_output=True, env=env and os.environ | env)
    if done.returncode not in ok:
        sys.exit(f"git {' '.join(args[:2])}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


def merge(base: str, ours: str, theirs: str) -> tuple[str, list[str]]:
    """Apply the change from `base` to `theirs` to `ours`, and return (tree, conflicting paths).

    The commits that Git needs for it are made apart: left in the worktree, they would be work of the session.
    """
    if ours == base:
        return theirs, []
    own = git("rev-parse", "--git-path", "objects")
    with tempfile.TemporaryDirectory() as apart:
        env = {"GIT_OBJECT_DIRECTORY": apart, "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.abspath(own)}
        root = git("commit-tree", "-m", "base", base, env=env)
        left = git("commit-tree", "-p", root, "-m", "ours", ours, env=env)
        right = git("commit-tree", "-p", root, "-m", "theirs", theirs, env=env)
        tree, *rest = git("merge-tree", "--write-tree", "-z", "--name-only", left, right, ok=(0, 1), env=env).split("\0")
        for oid in {root, left, right}:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(apart, oid[:2], oid[2:]))
        take_over(apart, own)
    return tree, list(dict.fromkeys(rest[: rest.index("")])) if "" in rest and rest[0] else []


def take_over(apart: str, own: str) -> None:
    """Put the objects of a folder into another one that lacks some of them."""
    for two in os.listdir(apart):
        if len(two) == 2:
            os.makedirs(os.path.join(own, two), exist_ok=True)
            for name in os.listdir(os.path.join(apart, two)):
                if not os.path.exists(path := os.path.join(own, two, name)):
                    shutil.copyfile(os.path.join(apart, two, name), path + ".new")
                    os.replace(path + ".new", path)


def with_paths(tree: str, paths: list[str], source: str) -> str:
    """Return `tree` with `paths` as they are in `source`."""
    env = {**os.environ, "GIT_INDEX_FILE": os.path.join(git("rev-parse", "--git-dir"), "replay.index")}
    lines = []
    for path in paths:
        entry = git("ls-tree", "-z", source, "--", ":(literal)" + path).split("\0")[0]
        mode, _, oid = entry.split("\t")[0].split(" ") if entry else ("0", "", "0" * 40)
        lines.append(f"{mode} {oid}\t{path}\0")
    subprocess.run(["git", "read-tree", tree], env=env, check=True)
    subprocess.run(
        ["git", "update-index", "-z", "--index-info"], env=env, check=True, input="".join(lines).encode(errors="surrogateescape")
    )
    return subprocess.run(["git", "write-tree"], env=env, check=True, capture_output=True, text=True).stdout.strip()


def landings(folder: str, base: str) -> dict[str, str]:
    """Return by task the commit of trunk that did it; tasks that a landed task has joined are done too."""
    found: dict[str, str] = {}
    for line in git("log", "--first-parent", TASKS, base).splitlines():
        commit, _, task = line.partition(" ")
        for done in [task, *joined_by(folder, task)] if task else ():
            found.setdefault(done, commit)
    return found


def joined_by(folder: str, task: str) -> list[str]:
    path = os.path.join(folder, task + ".joined")
    joined: list[str] = json.load(open(path)) if os.path.exists(path) else []
    return joined


class Notes:
    """What the sessions of one task remember: its rejections, and which trees it handed in on which trunk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._all: Past = json.load(open(path)) if os.path.exists(path) else {"kinds": {}, "attempts": []}
        answer = os.environ.get("AGENTCTL_ANSWER")
        if answer:
            verdict = json.load(open(os.path.join(answer, "verdict.json")))
            self._all["kinds"][verdict["change"]] = verdict["kind"]
        self.kinds = list(self._all["kinds"].values())
        self.attempts = self._all["attempts"]

    def save(self, attempt: str) -> None:
        self.attempts.append(attempt)
        write(self._path, self._all)


def main(plan_file: str) -> int:
    plan: list[Piece] = json.load(open(plan_file))
    folder = os.path.dirname(plan_file)
    task, base = os.environ["AGENTCTL_TASK"], os.environ["AGENTCTL_BASE"]
    me = next(i for i, piece in enumerate(plan) if piece["task"] == task)
    piece, notes = plan[me], Notes(os.path.join(folder, task + ".json"))
    commits = landings(folder, base)
    landed = set(commits)
    all_before = all(p["task"] in landed for p in plan[:me])
    bug = piece["bug"] if "gate" not in notes.kinds else None
    explained = bool(piece["bug"]) and not bug
    unexplained = len(notes.kinds) - explained
    here = git("rev-parse", "HEAD^{tree}")
    if task in landed:
        return hand_in(piece, here, bug, notes, "", commits[task])
    if unexplained and not all_before:
        return not_yet("waits for the tasks before it")
    tree, conflicts = merge(piece["base"], here, piece["target"])
    if conflicts and not all_before:
        return not_yet("does not apply yet: " + " ".join(conflicts))
    if not all_before and size(here, tree) != size(piece["base"], piece["target"]):
        return not_yet("parts of it are there already")
    failed = notes.kinds.count("gate") - explained
    if conflicts or failed > 1:
        tree, joined = resolved(me, plan, landed, here, conflicts, failed > 1)
        write(os.path.join(folder, task + ".joined"), joined)
    if unexplained and f"{base} {tree}" in notes.attempts:
        return not_yet("was rejected like this before")
    return hand_in(piece, tree, bug, notes, f"{base} {tree}", base)


def resolved(
    me: int, plan: list[Piece], landed: set[str], here: str, conflicts: list[str], everyone: bool
) -> tuple[str, list[str]]:
    """Put the later pieces that landed on top of this one, and return (tree, tasks joined)."""
    last = max((i for i, p in enumerate(plan) if p["task"] in landed and i > me), default=me)
    missing = [p for p in plan[me + 1 : last] if p["task"] not in landed]
    joined = list(missing) if everyone else []
    while True:
        wanted, needed = folded(plan[me : last + 1], [p for p in missing if p not in joined])
        if not needed:
            break
        joined += needed
    whole = everyone or joined or not conflicts
    tree = with_paths(here, everything(here, wanted) if whole else conflicts, wanted)
    return tree, [p["task"] for p in joined]


def folded(pieces: list[Piece], without: list[Piece]) -> tuple[str, list[Piece]]:
    """Return the tree after `pieces` without those in `without`, and which of the latter cannot be left out.

    If none is left out each merge is trivial, so whenever one conflicts there is one to name.
    """
    tree = pieces[0]["target"]
    for n, piece in enumerate(pieces[1:], 1):
        if piece in without:
            continue
        tree, conflicts = merge(piece["base"], tree, piece["target"])
        if conflicts:
            before = [p for p in pieces[:n] if p in without]
            return tree, [p for p in before if set(conflicts) & set(everything(p["base"], p["target"]))] or before
    return tree, []


def size(old: str, new: str) -> tuple[int, int]:
    """Return how many lines are added and removed between two trees; a binary file counts as one line."""
    listed = git("diff-tree", "-r", "-M", "--numstat", old, new).splitlines()
    counts = [[1 if n == "-" else int(n) for n in line.split("\t")[:2]] for line in listed]
    return sum(added for added, _ in counts), sum(removed for _, removed in counts)


def write(path: str, value: object) -> None:
    with open(path + ".new", "w") as file:
        json.dump(value, file)
    os.replace(path + ".new", path)


def not_yet(why: str) -> int:
    print(why)
    return NOT_YET


def everything(old: str, new: str) -> list[str]:
    """Return the paths in which two trees differ, except those of the policy."""
    listed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).split("\0")
    return [path for path in listed if path and not path.startswith(".agentctl/")]


def moved(path: str, old: str, new: str) -> str:
    """Return where the file at `path` of the tree `old` is in the tree `new`.

    A later task that renames the file may have landed first.
    """
    listed = iter(git("diff-tree", "-r", "-z", "-M", "--diff-filter=R", "--name-status", old, new).split("\0"))
    renames = {before: after for _, before, after in zip(listed, listed, listed)}
    return renames.get(path, path)


def hand_in(piece: Piece, tree: str, bug: Bug | None, notes: Notes, attempt: str, done_by: str) -> int:
    """Commit `tree` in the way of the last commit of the piece, and return the exit status.

    The bug is added if there is to be one. If nothing is left to do there is none, and the message names the commit `done_by`
    of trunk, with which it is done: that would not count after a rejection on a trunk that has it.
    """
    done = tree == git("rev-parse", "HEAD^{tree}")
    bug = None if done else bug
    notes.save("" if bug else attempt)
    git("read-tree", "--reset", "-u", tree)
    if bug:
        path = moved(bug["path"], piece["target"], tree)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w" if bug["whole"] else "a") as file:
            file.write(bug["text"])
        git("add", "--", path)
    last = piece["commits"][-1]
    author, date, message = git("log", "-1", "--format=%an <%ae>%x00%ad%x00%B", "--date=raw", last).split("\0")
    if done:
        message = f"{message.rstrip()}\n\nLanded with {done_by}\n"
    git(
        "commit",
        "--quiet",
        "--no-verify",
        "--allow-empty",
        "--allow-empty-message",
        "--cleanup=verbatim",
        "--author",
        author,
        "--date",
        date,
        "-F",
        "-",
        stdin=message.encode(errors="surrogateescape"),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
