"""The agent of a replay: puts one task's change on the trunk of the moment.

Run as `python agent.py PLAN` in a worktree, with only the standard library so that it
starts fast. It makes the three-way merge that a developer's rebase would make. If that
does not go, because what it builds on has not landed, it says "not yet" (exit status
75). After a rejection that its own bug does not explain it waits until all earlier
tasks have landed. Then nothing it builds on is missing, and what conflicts still are
later tasks that landed first: their changes are put on top of this one's, as history has it.
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


def rejections(folder: str, task: str) -> list[str]:
    """The kinds of all rejections of this task so far, remembered from session to session."""
    path = os.path.join(folder, task + ".json")
    seen = json.load(open(path)) if os.path.exists(path) else {}
    answer = os.environ.get("AGENTCTL_ANSWER")
    if answer:
        verdict = json.load(open(os.path.join(answer, "verdict.json")))
        seen[verdict["change"]] = verdict["kind"]
        with open(path, "w") as file:
            json.dump(seen, file)
    return list(seen.values())


def main(plan_file: str) -> int:
    plan = json.load(open(plan_file))
    task = os.environ["AGENTCTL_TASK"]
    me = next(i for i, piece in enumerate(plan) if piece["task"] == task)
    piece, base = plan[me], os.environ["AGENTCTL_BASE"]
    trailer = "--format=%(trailers:key=Agentctl-Task,valueonly,separator=%x2c)"
    landed = set(git("log", "--first-parent", trailer, base).split())
    all_before = all(p["task"] in landed for p in plan[:me])
    kinds = rejections(os.path.dirname(plan_file), task)
    buggy = piece["bug"] and "gate" not in kinds
    explained = 1 if piece["bug"] and "gate" in kinds else 0
    if len(kinds) > explained and not all_before:
        print("waits for the tasks before it")
        return NOT_YET
    here = git("rev-parse", "HEAD^{tree}")
    tree, conflicts = merge(piece["base"], here, piece["target"])
    if conflicts and not all_before:
        print("does not apply yet:", *conflicts)
        return NOT_YET
    if conflicts:
        tree = with_paths(tree, conflicts, as_history_has_it(me, plan, landed))
    git("read-tree", "--reset", "-u", tree)
    if buggy:
        with open(piece["bug"]["path"], "w" if piece["bug"]["whole"] else "a") as file:
            file.write(piece["bug"]["text"])
        git("add", "--", piece["bug"]["path"])
    last = piece["commits"][-1]
    author, date, message = git("log", "-1", "--format=%an <%ae>%x00%ad%x00%B", "--date=raw", last).split("\0")
    git("commit", "--quiet", "--no-verify", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim",
        "--author", author, "--date", date, "-F", "-", stdin=message.encode(errors="surrogateescape"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
