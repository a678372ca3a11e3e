"""agentctl salvage: work that was rescued when a session or a worktree ended."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import click

from agentctl.core import refnames
from agentctl.core.text.json_form import facts
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, MergeConflict, NotFound, Refused, together
from agentctl.fleet import in_session
from agentctl.git import process
from agentctl.git.merge import changed
from agentctl.git.repository import Hub
from agentctl.hub import tasks
from agentctl.messages import ago, aligned
from agentctl.terminal.parser import Given, as_command, given, group


@group(
    "salvage",
    """
agentctl salvage list
agentctl salvage show agent-1/3
agentctl salvage apply agent-1/3
agentctl salvage drop agent-1/3
""",
)
def command() -> None:
    """List, show, apply and drop work that was rescued.

    What a session had not handed in when it ended, and what a worktree held that was removed, is kept until somebody drops it.
    """


@dataclass(frozen=True, slots=True)
class Kept:
    """One piece of rescued work."""

    name: str
    """As this command names it."""
    ref: str
    commit: str
    made: float
    files: int
    """How many files differ from where it left trunk."""
    task: str
    """The task whose session left it; empty if none did."""
    subject: str


@command.add_command
@as_command("list", "agentctl salvage list\nagentctl salvage list --json")
@given
def list_command(given: Given) -> int:
    """List the work that was rescued, the newest first."""
    found = sorted(_all(given), key=lambda kept: -kept.made)
    if given.json:
        given.emit([facts(kept) for kept in found])
        return 0
    rows = [(k.name, f"{ago(k.made)} ago", many(k.files, "file"), k.task or "-", printable(k.subject)) for k in found]
    for line in aligned(rows):
        given.say(line)
    if not found:
        given.say("nothing was rescued")
    return 0


@command.add_command
@as_command("show", "agentctl salvage show agent-1/3\nagentctl salvage show agent-1/3 --stat")
@click.argument("name")
@click.option("--stat", is_flag=True, help="The files alone.")
@given
def show_command(given: Given, name: str, stat: bool) -> int:
    """Show what NAME changes, from where it left trunk."""
    ref, commit = _found(given.hub, name)
    base = _base(given, commit)
    shown = given.hub.git("diff", *(("--stat",) if stat else ("--stat", "--patch")), base, commit)
    if given.json:
        given.emit({"name": name, "ref": ref, "commit": commit, "base": base, "diff": shown})
    else:
        given.show(shown)
    return 0


@command.add_command
@as_command("apply", "agentctl salvage apply agent-1/3")
@click.argument("name")
@given
def apply_command(given: Given, name: str) -> int:
    """Put what NAME changes into the files of this checkout.

    It is staged, for you to look at and commit. Exit status 6 if some of it conflicts: then these files have conflict markers, as after a merge.
    """
    hub = given.hub
    if not hub.top:
        raise Refused("there is no checkout here", hint="cd into one, or: agentctl salvage show NAME | git apply")
    _, commit = _found(hub, name)
    base = _base(given, commit)
    patch = hub.git("diff", "--binary", "--full-index", base, commit)
    if not patch:
        given.say(f"{name}: it changes nothing")
        return 0
    done = process.called_as_user(["apply", "--3way", "-"], cwd=hub.top, stdin=(patch + "\n").encode(errors="surrogateescape"))
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode and "with conflicts" not in said:
        raise Refused(f"{name} cannot be applied: {printable(said, 400)}", hint="commit or stash what you have, then again")
    paths = [path for path, *_ in changed(hub, base, commit)]
    if given.json:
        given.emit({"name": name, "commit": commit, "files": paths, "conflicts": bool(done.returncode)})
    if done.returncode:
        raise MergeConflict(f"{name}: some of it conflicts", hint="git diff shows where")
    given.say(f"{name}: {many(len(paths), 'file')} changed and staged; look with git diff --cached, then commit")
    return 0


@command.add_command
@as_command("drop", "agentctl salvage drop agent-1/3 agent-2/1")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@given
def drop_command(given: Given, names: tuple[str, ...]) -> int:
    """Delete the refs that keep each NAME: all, or none. The commit that is printed brings one back until Git prunes it."""
    hub = given.hub
    in_session.refuse(hub)
    found: dict[str, tuple[str, str]] = {}
    missing: dict[str, AgentctlError] = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = _found(hub, name)
        except NotFound as error:
            missing[name] = error
    if missing:
        raise together(missing, len(names))
    here, shared = hub.here.transaction("drop"), hub.refs.transaction("drop")
    for ref, commit in found.values():
        (here if ref.startswith(refnames.KEPT) else shared).delete(ref, commit)
    for move in (shared, here):
        if move:
            move.commit()
    for name, (_, commit) in found.items():
        if given.json:
            given.emit({"name": name, "commit": commit})
        given.say(f"{name}: dropped; it was {commit[:12]}: git branch rescued {commit[:12]}")
    return 0


def _all(given: Given) -> list[Kept]:
    hub = given.hub
    listed = {**hub.refs.names([refnames.SALVAGE]).oids, **hub.here.names([refnames.KEPT]).oids}
    left = {s.salvage: task.id for task in tasks.listed(hub).values() for s in task.sessions if s.salvage}
    found = []
    for ref, commit in listed.items():
        with contextlib.suppress(AgentctlError):
            made = hub.objects.commit(commit)
            files = sum(1 for _ in changed(hub, _base(given, commit), commit))
            subject = made.message.decode(errors="replace").partition("\n")[0]
            found.append(Kept(_name(ref), ref, commit, made.time or time.time(), files, left.get(ref, ""), subject))
    return found


def _name(ref: str) -> str:
    return ref.removeprefix(refnames.SALVAGE)


def _found(hub: Hub, name: str) -> tuple[str, str]:
    """Return (ref, commit) of a piece of rescued work; raise NotFound."""
    for ref, refs in ((refnames.SALVAGE + name, hub.refs), (name, hub.refs), (name, hub.here)):
        if ref.startswith((refnames.SALVAGE, refnames.KEPT)) and (commit := refs.names([ref]).oids.get(ref)):
            return ref, commit
    raise NotFound(f"nothing was rescued by the name {name!r}", hint="agentctl salvage list")


def _base(given: Given, commit: str) -> str:
    """Return where a commit left trunk; trunk's tip if they have no commit in common."""
    return given.hub.git("merge-base", given.seen.tip, commit, ok=(0, 1)) or given.seen.tip
