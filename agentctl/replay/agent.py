"""The agent of a replay: puts one task's change on the trunk of the moment.

Run as `python agent.py PLAN` in a worktree, with only the standard library so that it
starts fast. It makes the three-way merge that a developer's rebase would make. If that
does not go, because what it builds on has not landed, it says "not yet" (exit status
75). So it does if less changes than in the history: Git takes the absence of what is to
be undone, and has not landed, for the same change made already. After a rejection that
its own bug does not explain it waits until all earlier tasks have landed.

If it still does not go then, later tasks that landed first are in the way. The agent puts
their changes on top of its own, in the order of history. Where that does not go, it is
for a task between that has not landed: it *joins* that one, as a commit that is red alone
joins the ones after it. If the gate rejects even that, it joins all up to the last one
that landed: that is a tree of the history, which is green. Those that it joined have
nothing left to do, and say so by an empty commit that names the one on trunk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

TYPE_CHECKING = False
"""As typing has it, which takes milliseconds to import."""
if TYPE_CHECKING:
    from typing import TypedDict

    class Bug(TypedDict):
        """As `history.Bug`."""

        path: str
        text: str
        whole: bool

    class Piece(TypedDict):
        """As `history.Piece`."""

        task: str
        base: str
        target: str
        commits: list[str]
        bug: Bug | None

    class Past(TypedDict):
        """What the sessions of one task remember."""

        kinds: dict[str, str]
        """Of its rejections, by the key of the change."""
        attempts: list[str]


NOT_YET = 75
TASKS = "--format=%H %(trailers:key=Agentctl-Task,valueonly,separator=%x2c)"


def git(*args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(["git", *args], input=stdin, capture_output=True)
    if done.returncode not in ok:
        sys.exit(f"git {' '.join(args[:2])}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


def merge(base: str, ours: str, theirs: str) -> tuple[str, list[str]]:
    """(tree, conflicting paths) of applying the change from `base` to `theirs` to `ours`."""
    if ours == base:
        return theirs, []
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
    subprocess.run(
        ["git", "update-index", "-z", "--index-info"], env=env, check=True, input="".join(lines).encode(errors="surrogateescape")
    )
    return subprocess.run(["git", "write-tree"], env=env, check=True, capture_output=True, text=True).stdout.strip()


def landings(folder: str, base: str) -> dict[str, str]:
    """The commit of trunk that did it, by task: with those that a landed task has joined."""
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
        return hand_in(piece, here, bug, notes, "", f"Landed with {commits[task]}")
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
    return hand_in(piece, tree, bug, notes, f"{base} {tree}")


def resolved(
    me: int, plan: list[Piece], landed: set[str], here: str, conflicts: list[str], everyone: bool
) -> tuple[str, list[str]]:
    """(tree, tasks joined): this piece with the later ones that landed on top of it."""
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
    """The tree after `pieces` without some of them, and which of these it does not go without.

    With none left out each merge is trivial, so there is one to name whenever one conflicts.
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
    """How many lines are added and removed, a binary file as one."""
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
    """The paths, the policy's aside, in which two trees differ."""
    listed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).split("\0")
    return [path for path in listed if path and not path.startswith(".agentctl/")]


def moved(path: str, old: str, new: str) -> str:
    """Where the file at `path` in one tree is in another: a later task that renames it
    may have landed first."""
    listed = iter(git("diff-tree", "-r", "-z", "-M", "--diff-filter=R", "--name-status", old, new).split("\0"))
    renames = {before: after for _, before, after in zip(listed, listed, listed)}
    return renames.get(path, path)


def hand_in(piece: Piece, tree: str, bug: Bug | None, notes: Notes, attempt: str, reason: str = "") -> int:
    """Commit `tree` as the last commit of the piece was, with its bug if it is to have that; after
    a rejection with the reason why nothing is left to do."""
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
    if reason and notes.kinds:
        message = f"{message.rstrip()}\n\n{reason}\n"
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
