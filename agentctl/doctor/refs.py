"""Refs that Git cannot read, and refs that are not what their names say.

A broken ref is a file. It is moved to the folder `broken` of the hub's own folder; of a link, the link itself is
moved and never what it points to. Then its last known value comes back: from its reflog, from the ledger if it is
trunk, or from a commit of its kind that no ref holds any more. What a ref of the wrong kind points to is held by a
salvage ref before that ref is deleted.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator

from agentctl.core import refnames
from agentctl.core.text.printable import printable
from agentctl.doctor import Check, Patient, Symptom
from agentctl.errors import AgentctlError, Contended, Malformed
from agentctl.git import folders, refs, stale_locks, transactions
from agentctl.git.refs import Ref
from agentctl.git.repository import Hub
from agentctl.hub import claims, foreign, handed_in, inbox, outbox, tasks
from agentctl.hub.archive import Archive
from agentctl.hub.ledger import Ledger
from agentctl.hub.policy_file import read_policy

LOG = 1 << 28
"""The most bytes of a reflog that are read."""


# refs that Git cannot read


def _broken(patient: Patient) -> Iterator[Symptom]:
    for name, why in broken(patient.hub).items():
        yield Symptom(f"broken ref {printable(name)}: {why}", patient.mend("refs"))


def broken(hub: Hub) -> dict[str, str]:
    """Return the refs below refs/agentctl and refs/heads that cannot be read, and why, by name."""
    return hub.refs.scan([refnames.ROOT, "refs/heads/"]).odd


def _move_aside(patient: Patient) -> Iterator[str]:
    # If there is no branch, Git lists no commits that no ref holds, so branches are mended first.
    for name in sorted(broken(patient.hub), key=lambda name: not name.startswith("refs/heads/")):
        yield f"{name}: {_mended(patient.hub, name)}"


def _mended(hub: Hub, name: str) -> str:
    """Mend one ref and return what was done.

    In one step the broken file is replaced by the last known value, or is removed.
    """
    path, (value, whence) = os.path.join(hub.git_dir, name), _last_value(hub, name)
    if not os.path.lexists(path):
        return _drop_packed(hub, name)
    kept = _kept(hub, path, name)
    if value:
        _put(hub, path, value)
    else:
        os.unlink(path)
    hub.sync()
    return f"kept as {kept}; it is {value[:12]} again, {whence}" if value else f"moved to {kept}"


def _kept(hub: Hub, path: str, name: str) -> str:
    """Give the broken file or link another name below the hub's own folder, and return that name."""
    for n in range(1, 10_000):
        kept = hub.own_path("broken", name if n == 1 else f"{name}.{n}")
        with contextlib.suppress(FileExistsError):
            os.link(path, kept, follow_symlinks=False)
            return kept
        # This name was made by a mend that was killed.
        if os.path.samestat(os.lstat(path), os.lstat(kept)):
            return kept
    raise AssertionError("unreachable")


def _put(hub: Hub, path: str, oid: str) -> None:
    """Write a ref as Git does, because Git itself does not write a ref that it cannot read."""
    if os.path.lexists(path + ".lock"):
        stale_locks.clear(hub.git_dir, [path + ".lock"])
    try:
        with open(os.open(path + ".lock", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
            file.write(oid + "\n")
    except FileExistsError:
        raise Contended(f"a Git has just locked {path}", hint="run the same command again in a moment") from None
    os.rename(path + ".lock", path)


def _drop_packed(hub: Hub, name: str) -> str:
    """Delete a packed ref whose object is missing, and keep its value, which is all that there is to keep."""
    oid = _packed(hub, name)
    if not oid:
        return "gone"
    kept = hub.own_path("broken", name)
    with open(kept, "w") as file:
        file.write(oid + "\n")
    drop = hub.refs.transaction("doctor")
    drop.delete(name, oid)
    drop.commit()
    return f"moved to {kept}"


def _packed(hub: Hub, name: str) -> str:
    return hub.refs.packed(name) or ""


def _last_value(hub: Hub, name: str) -> tuple[str, str]:
    """Return (last known value, where it is from); both are empty if there is none.

    Except for the value that is packed, a value counts only if its object exists.
    """
    packed = _packed(hub, name)
    for oid, whence in _last_values(hub, name) if re.fullmatch(r"refs/[\w./@+=-]+", name) else ():
        if oid != packed and hub.objects.exists(oid):
            return oid, f"from {whence}"
        if oid == packed:
            return oid, "as it was packed"
    return "", ""


def _last_values(hub: Hub, name: str) -> Iterator[tuple[str, str]]:
    for line in reversed((folders.content(os.path.join(hub.git_dir, "logs", name), LOG) or b"").splitlines()):
        if re.fullmatch(rb"[0-9a-f]{40} [0-9a-f]{40} .*", line) and not line.startswith(b"0" * 40, 41):
            yield line[41:81].decode(), "its reflog"
    if name.startswith("refs/heads/"):
        with contextlib.suppress(AgentctlError):
            state = Ledger.read(hub).state()
            if state.trunk and refnames.branch(read_policy(hub, state.trunk).trunk) == name:
                yield state.trunk, "the ledger"
    elif reader := _reader(hub, name):
        yield from ((oid, "a commit that nothing held") for oid in _lost(hub, reader))


def _lost(hub: Hub, read: Callable[[str], object]) -> list[str]:
    """List the commits of agentctl that no ref leads to and that `read` accepts, the newest first.

    A commit that is the first parent of another one of them is left out.
    """
    # `git fsck` is not used here, as it would wait for a named pipe among the refs.
    listed = hub.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)", "--unordered", ok=range(256))
    sound = hub.refs.scan(["refs/"]).refs.values()
    held = hub.git(
        "rev-list", "--stdin", "--ignore-missing", stdin="".join(ref.target + "\n" for ref in sound).encode(), ok=range(256)
    )
    found = []
    for oid in {*re.findall(r"^([0-9a-f]{40}) commit$", listed, re.MULTILINE)} - {*held.split()}:
        with contextlib.suppress(AgentctlError, ValueError):
            info = hub.objects.commit(oid)
            if info.author.startswith(b"agentctl <") and read(oid) is not None:
                found.append((info.time, oid, info.parents[:1]))
    old = {parent for _, _, first in found for parent in first}
    return [oid for _, oid, _ in sorted(found, reverse=True) if oid not in old]


def _reader(hub: Hub, name: str) -> Callable[[str], object] | None:
    """Return a function that reads a commit as what a ref of this name holds; None for other names.

    For a commit of another kind that function raises, or returns None.
    """
    if name == refnames.STATE:
        return lambda oid: _state(hub, oid)
    if name == refnames.VERDICTS:
        return lambda oid: _verdicts(hub, oid)
    if name == refnames.ARCHIVE:
        return lambda oid: list(Archive(hub, oid).tasks()) or None
    if name.startswith(refnames.OUTBOX):
        return lambda oid: outbox.parse(hub, name, oid)
    if name.startswith(refnames.TASKS):
        return lambda oid: tasks.read(hub, name.removeprefix(refnames.TASKS), oid)
    return None


def _verdicts(hub: Hub, oid: str) -> object:
    """Read a commit as verdicts; return None if it holds something else.

    Raises Malformed.
    """
    with refs.decoding(refnames.VERDICTS):
        gates = hub.objects.tree(hub.objects.commit(oid).tree)
        return gates if all(re.fullmatch(rb"[0-9a-f]{16}", name) for name in gates) else None


def _state(hub: Hub, oid: str) -> object:
    """Read a commit as the ledger; return None if it holds something else.

    Raises Malformed.
    """
    ledger = Ledger(hub, oid)
    if hub.objects.at(ledger.tree, "meta.json") is None:
        return None
    ledger.state()
    ledger.ended()
    return ledger


# refs that are not what their names say


def _of_another_kind(patient: Patient) -> Iterator[Symptom]:
    for ref, what in _misplaced(patient.hub):
        yield Symptom(f"{ref.name} is not {what}", patient.mend("kinds"), "what it points to is kept by a salvage ref")


def _misplaced(hub: Hub) -> Iterator[tuple[Ref, str]]:
    for name, ref in hub.refs.read([refnames.ROOT.rstrip("/")]).items():
        if name.startswith(refnames.INBOX):
            if inbox.parse(ref) is None:
                yield ref, "a submission"
        elif refnames.in_the_way(name):
            yield ref, "where a ref may stand: it is in the way of others"
        elif name.startswith(refnames.CLAIMS):
            try:
                claims.read_claim(hub, ref)
            except Malformed:
                yield ref, "a claim"


def _set_aside(patient: Patient) -> Iterator[str]:
    for ref, what in list(_misplaced(patient.hub)):
        yield f"{ref.name}, not {what}, is {patient.hub.refs.set_aside(ref.name, ref.oid)} now"


def keep(hub: Hub, oid: str, moves: dict[str, tuple[str | None, str]]) -> str:
    """Have a salvage ref hold an object, move other refs in the same transaction, and return the salvage ref's name.

    `moves` has by name of a ref: (new value, or None to delete it; old value).
    """
    held = hub.refs.names([refnames.FOUND]).oids
    kept = transactions.found_name(held, oid)
    move = hub.refs.transaction("doctor")
    if kept not in held:
        move.create(kept, oid)
    for name, (new, old) in moves.items():
        move.update(name, new, old) if new else move.delete(name, old)
    move.commit()
    hub.sync()
    return kept


# refs that are not as the bot left them


def _moved(patient: Patient) -> Iterator[Symptom]:
    """Find what others did to trunk and to the refs of the bot."""
    for what, way in foreign.findings(patient.hub):
        yield Symptom(what, way.replace("agentctl", patient.agentctl, 1))


# refs that are of the right kind, but whose content cannot be read


def _malformed(patient: Patient) -> Iterator[Symptom]:
    for ref, error in _unreadable(patient.hub):
        good = _last_good(patient.hub, ref)
        yield Symptom(
            error.message,
            patient.mend("records"),
            f"{ref.name} goes back to {good[:12]}, its last commit that can be read"
            if good
            else f"no commit of {ref.name} can be read; it is set aside",
        )


def _unreadable(hub: Hub) -> Iterator[tuple[Ref, Malformed]]:
    for name, ref in hub.refs.read(
        [refnames.STATE, refnames.TASKS, refnames.ARCHIVE, refnames.VERDICTS, refnames.OUTBOX]
    ).items():
        try:
            read = _reader(hub, name)
            if not read or read(ref.oid) is None:
                raise Malformed(ref=name, why="it is of another kind")
        except Malformed as error:
            yield ref, error


def _last_good(hub: Hub, ref: Ref) -> str | None:
    read = _reader(hub, ref.name)
    if not read or ref.kind != "commit":
        return None
    for oid in hub.git("rev-list", "--first-parent", "-n1000", ref.target, ok=(0, 128)).split()[1:]:
        with contextlib.suppress(AgentctlError):
            if read(oid) is not None:
                return oid
    return None


def _go_back(patient: Patient) -> Iterator[str]:
    for ref, _ in list(_unreadable(patient.hub)):
        good = _last_good(patient.hub, ref)
        kept = keep(patient.hub, ref.oid, {ref.name: (good, ref.oid)})
        yield f"{ref.name} {'is ' + good[:12] + ' again' if good else 'is gone'}; what it held is {kept}"


# tasks that wait for what was never handed in


def _never_handed_in(patient: Patient) -> Iterator[Symptom]:
    for task in tasks.listed(patient.hub).values():
        if untrue := [] if task.closed else handed_in.never(patient.hub, task):
            yield Symptom(
                f"task {task.id} waits for {task.id}/{max(untrue)}, which is neither in the inbox nor in the ledger",
                f"{patient.agentctl} task open {task.id}",
                "somebody wrote into the task that a session submitted it; opened again, it is worked on",
            )


FILES = Check("refs", _broken, _move_aside)
CHECKS = (
    Check("moved", _moved),
    Check("kinds", _of_another_kind, _set_aside),
    Check("records", _malformed, _go_back),
    Check("handed-in", _never_handed_in),
)
