"""Checkouts of trunk that did not follow it: files in the way are moved aside, edits become a commit on a branch.

What was left behind and what somebody edited is told apart path by path. An entry of the index that trunk once had
was left behind; any other entry that differs was staged by somebody. A file that is neither as in the index nor as on
trunk was edited. A checkout that did not follow more than once is as a whole at no single commit.

All is done on a copy of the index, which takes its place at the end: killed anywhere, the same mend goes on.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agentctl.core import refnames
from agentctl.core.text.plural import many
from agentctl.doctor import Check, Patient, Symptom
from agentctl.errors import Contended
from agentctl.git import checkouts, files, folders, private_repository, stale_locks
from agentctl.git.repository import Hub
from agentctl.git.scratch import Scratch
from agentctl.messages import quoted, some

HISTORY = 1000
"""How many commits of trunk are searched for what was left behind."""

UNFINISHED = {
    name: what.removeprefix("a ")
    for name, what in private_repository.UNFINISHED.items()
    if name not in ("BISECT_LOG", "sequencer")
}
"""What has a command of Git by which it is aborted, by the name of that."""

ABSENT = ("000000", "0" * 40)
Entry = tuple[str, str]
"""(mode, object id)."""


@dataclass(frozen=True, slots=True)
class Diff:
    """How a checkout differs from trunk's tip."""

    behind: dict[str, Entry]
    """What trunk has for each path whose entry in the index is an older one of trunk."""
    staged: dict[str, Entry]
    """The entry in the index of each path that somebody staged."""
    edited: tuple[str, ...]
    """Files that are neither as in the index nor as on trunk."""
    began: dict[str, Entry]
    """What trunk had for a path when somebody began to stage or edit it, if trunk has something else now."""
    alien: tuple[str, ...] = ()
    """The paths of `behind` that only the checkout's own Git can write, as their filter is configured nowhere else."""

    def __bool__(self) -> bool:
        return bool(self.behind or self.staged or self.edited)

    @property
    def left_behind(self) -> bool:
        return bool(self.behind or self.began)

    @property
    def own(self) -> list[str]:
        return sorted({*self.staged, *self.edited})


@dataclass(frozen=True, slots=True)
class Seen:
    """One checkout of trunk, seen through a scratch directory."""

    hub: Hub
    tree: checkouts.Checkout
    look: Scratch
    trunk: str
    tip: str

    def git(self, *args: str, index: str | None = None, stdin: bytes = b"", ok: Sequence[int] = (0,)) -> str:
        """Run Git for the checkout, with a copy of its present index, or with another index."""
        copy = self.look.index
        if copy and not index:
            files.fresh_index(copy, self.tree.index)
        return replace(self.look, index=index or copy).text(*args, stdin=stdin, ok=ok)

    def unfinished(self) -> str:
        """Return what is under way in the checkout, such as a merge, or an empty string."""
        if name := next((word for name, word in UNFINISHED.items() if os.path.exists(os.path.join(self.tree.git_dir, name))), ""):
            return name
        return "merge" if self.git("ls-files", "--unmerged") else ""

    def diff(self) -> Diff:
        """Compare the checkout with trunk, in a copy of the index: to look must neither lock nor refresh the index."""
        with tempfile.TemporaryDirectory(prefix="agentctl-") as folder:
            copy = os.path.join(folder, "index")
            files.fresh_index(copy, self.tree.index)
            return self._diff(copy)

    def _diff(self, index: str) -> Diff:
        self.git("update-index", "-q", "--refresh", index=index, ok=(0, 1))
        changed = {path: (ours, theirs) for path, ours, theirs in self._raw("diff-index", "--cached", self.tip, index=index)}
        had = self._had(list(changed)) if changed else {}
        behind = {path: ours for path, (ours, theirs) in changed.items() if theirs in had.get(path, ())}
        staged = {path: theirs for path, (ours, theirs) in changed.items() if path not in behind}
        loose = [path for path, *_ in self._raw("diff-files", index=index)]
        alien = self.tree.alien(self.look, {*loose, *behind})
        edited = tuple(path for path in loose if path not in alien and self.entry(path) != self.on_trunk(path))
        began = {path: theirs for path, (_, theirs) in changed.items() if path in behind and path in edited}
        for path in staged:
            before = self.at(self._trunk_before(path), path)
            if before != self.on_trunk(path):
                began[path] = before
        return Diff(behind, staged, edited, began, tuple(sorted(alien & behind.keys())))

    def _trunk_before(self, path: str) -> str:
        """Return the commit that trunk was at when a file was last written, as its reflog tells, or else its tip.

        The entry that was staged does not tell which version it is an edit of.
        """
        log = os.path.join(self.hub.git_dir, "logs", refnames.branch(self.trunk))
        with contextlib.suppress(OSError), folders.opened(log) as file:
            written = int(os.lstat(os.path.join(self.tree.path, path)).st_mtime)
            for line in file:
                facts = line.decode(errors="replace").partition("\t")[0].split(" ")
                if len(facts) > 3 and facts[-2].isdigit() and int(facts[-2]) >= written and self._is_past(facts[0]):
                    return facts[0]
        return self.tip

    def _is_past(self, oid: str) -> bool:
        return (
            oid == self.tip
            or self.hub.git("rev-list", "-n1", oid, "^" + self.tip, ok=(0, 128)) == ""
            and self.hub.objects.exists(oid)
        )

    def _raw(self, *args: str, index: str | None = None) -> Iterator[tuple[str, Entry, Entry]]:
        """Yield (path, entry before, entry after); an entry that is not from a tree or an index has no object id."""
        fields = self.git(args[0], "--raw", "--no-renames", "--no-ext-diff", "-z", "--abbrev=40", *args[1:], index=index).split(
            "\0"
        )
        for facts, path in zip(fields[0::2], fields[1::2]):
            before, after, old, new, _ = facts.removeprefix(":").split(" ")
            yield path, (before, old), (after, new)

    def _had(self, paths: list[str]) -> dict[str, set[Entry]]:
        """Return the entries that trunk had for each of these paths in its last `HISTORY` commits."""
        found: dict[str, set[Entry]] = {}
        wanted = set(paths)
        fields = self.git(
            "log",
            f"-n{HISTORY}",
            "--first-parent",
            "--diff-merges=first-parent",
            "--raw",
            "--no-renames",
            "-z",
            "--abbrev=40",
            "--format=",
            "--no-ext-diff",
            self.tip,
        ).split("\0")
        rest = iter(fields)
        for facts in rest:
            path = next(rest, "") if facts.startswith(":") else ""
            if path in wanted:
                before, after, old, new, _ = facts.removeprefix(":").split(" ")
                found.setdefault(path, set()).update({(before, old), (after, new)})
        return found

    def at(self, commit: str, path: str) -> Entry:
        found = self.hub.objects.at(self.hub.objects.commit(commit).tree, path)
        return (f"{found[0]:06o}", found[1]) if found else ABSENT

    def on_trunk(self, path: str) -> Entry:
        return self.at(self.tip, path)

    def entry(self, path: str) -> Entry:
        """Return the entry that `git add` would make of the file, by the user's filters."""
        full = os.path.join(self.tree.path, path)
        if os.path.islink(full):
            return "120000", self.git("hash-object", "--stdin", stdin=os.fsencode(os.readlink(full)))
        if not os.path.isfile(full):
            return ABSENT
        executable = os.access(full, os.X_OK)
        return "100755" if executable else "100644", self.git("hash-object", "--path", path, "--", full)


def _found(patient: Patient) -> Iterator[tuple[Seen, Diff | str]]:
    """Yield each checkout of trunk that is not as trunk, with its Diff or what is under way; a station's may be behind."""
    for tree in () if patient.hub.station else checkouts.of_trunk(patient.hub, patient.trunk):
        with tree.look() as look:
            one = Seen(patient.hub, tree, look, patient.trunk, patient.tip)
            if under_way := one.unfinished():
                yield one, under_way
            elif diff := one.diff():
                yield one, diff


def _findings(patient: Patient) -> Iterator[Symptom]:
    for one, diff in _found(patient):
        path, trunk = one.tree.path, patient.trunk
        if isinstance(diff, str):
            yield Symptom(
                f"{path} has {trunk} checked out, and a {diff} under way",
                note=f"finish it, or: git -C {quoted(path)} {diff} --abort; the bot does not start as long as it stands",
            )
        elif diff.alien:
            git = f"git -C {quoted(path)}"
            yield Symptom(
                f"{path} has {trunk} checked out, but the files of an older commit, {some(diff.alien)} among them, "
                "which is under a filter that only its own configuration has",
                "" if diff.own else f'{git} read-tree -m -u "$({git} write-tree)" HEAD',
                f"put it into your own configuration, or commit {some(diff.own)} on a branch first"
                if diff.own
                else "it is the Git there that runs this filter",
            )
        elif diff.left_behind:
            edits = f"; what you edited is kept on a branch: {some(diff.own)}" if diff.own else ""
            yield Symptom(
                f"{path} has {trunk} checked out, but the files of an older commit",
                patient.mend("checkout"),
                f"what is in the way is moved aside{edits}",
            )
        else:
            yield Symptom(
                f"{path} has {trunk} checked out with uncommitted changes: {some(diff.own)}",
                f"git -C {quoted(path)} switch -c {free_branch(patient.hub)}",
                "they are yours still, on that branch; commit them, agentctl submit",
            )


def free_branch(hub: Hub) -> str:
    taken = hub.here.read(["refs/heads/"])
    return next(name for n in range(1, len(taken) + 2) if refnames.branch(name := f"edits-{n}") not in taken)


def _mend(patient: Patient) -> Iterator[str]:
    for tree in checkouts.of_trunk(patient.hub, patient.trunk):
        stale_locks.clear(patient.hub.git_dir, checkouts.index_locks(tree))
    for one, diff in _found(patient):
        if isinstance(diff, Diff) and diff.alien:
            yield f"{one.tree.path}: left as it is, only its own Git can write {some(diff.alien)}: agentctl doctor"
        elif isinstance(diff, Diff) and diff.left_behind:
            yield from bring(one, diff)


def bring(one: Seen, diff: Diff) -> Iterator[str]:
    """Bring a checkout to trunk's tip, whatever is in the way; raise Contended if a living Git is at work in it."""
    index = os.path.join(one.tree.git_dir, "index")
    with _locked(index) as copy:
        if diff.own:
            yield f"{one.tree.path}: what you edited is on the branch {_branched(one, diff, copy)}"
        one.git("add", "--update", "--", ".", index=copy)
        aside = list(_clear_way(one, diff.behind, copy))
        if aside:
            yield f"{one.tree.path}: {many(len(aside), 'file')} moved aside: {some(aside)}"
        one.git("read-tree", "-m", "-u", one.git("write-tree", index=copy), one.tip, index=copy)
    yield f"{one.tree.path}: brought to {one.tip[:12]}"


@contextlib.contextmanager
def _locked(index: str) -> Iterator[str]:
    """Yield a copy of the index that takes its place at the end; Git's own lock keeps others from the index."""
    lock, copy = index + ".lock", index + ".agentctl-new"
    try:
        os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        raise Contended(f"a Git has just locked {lock}", hint="run the same command again in a moment") from None
    try:
        with _scratch(copy, index):
            yield copy
            os.replace(copy, index)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)


@contextlib.contextmanager
def _scratch(path: str, source: str = "") -> Iterator[str]:
    """Yield a temporary index, at first as `source`; its name never changes, so what a kill left is removed first."""

    def remove() -> None:
        for left in (path, path + ".lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(left)

    remove()
    try:
        if source:
            files.fresh_index(path, source)
        yield path
    finally:
        remove()


def _branched(one: Seen, diff: Diff, copy: str) -> str:
    """Put what somebody staged and edited on a branch, as one or two commits on `_base`, and return its name."""
    base = _base(one, diff)
    with _scratch(f"{copy}.edits", copy) as top:
        one.git("add", "--update", "--", ".", index=top)
        entries = {path: (mode, oid) for mode, oid, path in _listed(one, top)}
    objects = one.hub.objects
    staged = {path: None if entry == ABSENT else entry for path, entry in diff.staged.items()}
    head, who = base, one.hub.person(one.tree.path)
    wanted = [("what was staged", staged), ("what was edited", {path: entries.get(path) for path in diff.own})]
    for title, differing in wanted:
        tree = _with(one, head, differing)
        if tree != objects.commit(head).tree:
            # The date is that of the base, so that after a mend that was cut off the same commit is made again.
            head = objects.write_commit(
                tree, [head], f"{title} in a checkout of trunk\n", objects.commit(base).time, author=who, committer=who
            )
    return _name(one.hub, head)


def _listed(one: Seen, index: str) -> Iterator[tuple[str, str, str]]:
    for line in one.git("ls-files", "--stage", "-z", index=index).split("\0"):
        if line:
            facts, _, path = line.partition("\t")
            mode, oid = facts.split(" ")[:2]
            yield mode, oid, path


def _with(one: Seen, commit: str, files: dict[str, Entry | None]) -> str:
    """Return the tree of a commit with other entries for some paths; None removes a path."""
    objects = one.hub.objects
    return objects.replace(
        objects.commit(commit).tree, {path: (int(entry[0], 8), entry[1]) if entry else None for path, entry in files.items()}
    )


def _base(one: Seen, diff: Diff) -> str:
    """Return the newest commit of trunk in which the edited files are as they were before the edits, or its tip."""
    for oid in one.git("rev-list", "--first-parent", f"-n{HISTORY}", one.tip).split():
        if all(one.at(oid, path) == entry for path, entry in diff.began.items()):
            return oid
    return one.tip


def _name(hub: Hub, head: str) -> str:
    """Return the name of a branch at `head`: one that a mend has made already, or a new one."""
    for name, ref in hub.here.read(["refs/heads/"]).items():
        if ref.oid == head and name.startswith("refs/heads/edits-"):
            return name.removeprefix("refs/heads/")
    made = free_branch(hub)
    create = hub.here.transaction("doctor")
    create.create(refnames.branch(made), head)
    create.commit()
    hub.sync()
    return made


def _clear_way(one: Seen, behind: dict[str, Entry], copy: str) -> Iterator[str]:
    """Move aside what is not in the index where trunk has a file or a folder, and yield the new names.

    A file that is the same as trunk's is entered in the index instead. One that holds only the beginning of trunk's
    is deleted: the Git that wrote it was killed.
    """
    tracked = {path for *_, path in _listed(one, copy)}
    for path, entry in sorted(behind.items()):
        if entry == ABSENT or path in tracked:
            continue
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            part = "/".join(parts[:n])
            full = os.path.join(one.tree.path, part)
            folder = os.path.isdir(full) and not os.path.islink(full)
            if not os.path.lexists(full) or part in tracked or (folder and n < len(parts)):
                continue
            if n == len(parts) and one.entry(path) == entry:
                one.git("update-index", "--add", "--cacheinfo", f"{entry[0]},{entry[1]},{path}", index=copy)
            elif n == len(parts) and entry[0].startswith("100") and one.tree.begins(path, entry[1]):
                os.unlink(full)
            elif folder and any(other.startswith(part + "/") for other in tracked):
                yield from _move_untracked(one, part, tracked)
            else:
                yield _move(one, part, part)


def _move_untracked(one: Seen, folder: str, tracked: set[str]) -> Iterator[str]:
    """Move aside the files of a folder that are not tracked; the tracked ones are moved away with trunk."""
    for where, _, names in os.walk(os.path.join(one.tree.path, folder)):
        for name in names:
            path = os.path.relpath(os.path.join(where, name), one.tree.path)
            if path not in tracked:
                yield _move(one, path, f"{folder}.kept{path.removeprefix(folder)}")


def _move(one: Seen, path: str, wanted: str) -> str:
    """Rename a file or folder of the checkout to a name that neither the checkout nor trunk has, and return it."""
    names = (wanted if n == 0 and wanted != path else f"{wanted}.kept{f'-{n}' if n > 1 else ''}" for n in range(10_000))
    name = next(n for n in names if not os.path.lexists(os.path.join(one.tree.path, n)) and one.on_trunk(n) == ABSENT)
    full = os.path.join(one.tree.path, name)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    os.rename(os.path.join(one.tree.path, path), full)
    return name


CHECKS = (Check("checkout", _findings, _mend),)
