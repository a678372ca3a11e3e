"""agentctl doctor: what is wrong with the machine or the set-up, and how to mend it."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from agentctl.commands.parser import Given, command, given
from agentctl.core import refnames
from agentctl.core.document import Problems
from agentctl.core.policy import Policy
from agentctl.core.printable import printable
from agentctl.core.task import decode_claim
from agentctl.engine import locks, processes
from agentctl.errors import AgentctlError, Contended, Findings, Malformed
from agentctl.fleet import adapters, agents, tasks
from agentctl.git import process, refs
from agentctl.git.hub import POLICY_PATH, Hub
from agentctl.git.objects import EMPTY_TREE, TREE
from agentctl.git.worktrees import Worktree
from agentctl.queue import inbox, landing, recovery
from agentctl.queue.ledger import Ledger

ROOM = 1 << 30
"""Bytes of free disk below which worktrees soon fail."""

HISTORY = 1000
"""Commits of trunk among which a checkout that was left behind is looked for."""

MOMENT = 0.3
"""Seconds between two looks at a lock: a live Git holds one for milliseconds."""

_FIRST_WORD = re.compile(r"\s*(?:\w+=[^\s'\"$`]*\s+)*([\w./+-]+)(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    mend: str
    """The command to type."""


@command("doctor", "agentctl doctor\nagentctl doctor --json")
@given
def command(given: Given) -> int:
    """Find what is wrong with machine and hub, and how to mend it.

    Looks at the policy and the programs it calls, the checkout of trunk, what killed
    processes left behind, refs that are not of the protocol, locks and disk space. Changes
    nothing. Exit status 9 if there is something to mend.
    """
    found = diagnose(given)
    if given.json:
        given.emit([asdict(f) for f in found])
    for finding in found:
        given.say(f"found: {finding.what}\n mend: {finding.mend}")
    if found:
        raise Findings(f"{len(found)} finding{'s' if len(found) > 1 else ''}", hint=found[0].mend)
    version = ".".join(map(str, process.version()))
    given.say(f"Git {version}, trunk {given.trunk}, gates {', '.join(g.name for g in given.policy.gates)}: all well")
    return 0


def diagnose(given: Given) -> list[Finding]:
    """Every finding. While a ref is broken the checks that read refs are left out."""
    hub = given.hub
    found = [*_disk(hub), *_locks(hub), *_broken_refs(hub)]
    if any("broken ref" in f.what for f in found):
        return found
    try:
        trunk = given.trunk
    except AgentctlError as error:
        invalid = isinstance(error, Problems) or not error.hint
        found.append(Finding(error.message, "agentctl policy check" if invalid else error.hint))
        trunk = hub.config("agentctl.trunk") or "main"
    else:
        found += [*_programs(given, given.policy), *_globs(hub, given.tip, given.policy), *_adapter(given.policy),
                  *_checkouts(hub, trunk)]
    return [*found, *_stale_locks(hub, trunk), *_processes(hub), *_claims(hub), *_worktrees(hub), *_inbox(hub), *_malformed(hub)]


def _disk(hub: Hub) -> Iterator[Finding]:
    for folder in dict.fromkeys((hub.git_dir, os.path.dirname(hub.worktrees))):
        if os.path.isdir(folder) and (free := shutil.disk_usage(folder).free) < ROOM:
            yield Finding(f"only {free >> 20} MiB are free where {folder} is", f"free some: du -xh {_q(folder)} | sort -h")


def _locks(hub: Hub) -> Iterator[Finding]:
    """Whether a lock keeps a second taker out, which some network file systems do not."""
    path = hub.own_path("locks", "doctor.lock")
    away = Finding(f"locks do not work where {hub.git_dir} is", "git clone --mirror it to a local disk")
    try:
        with locks.acquire(path, "the doctor's lock", timeout=5):
            with locks.acquire(path, "the doctor's lock"):
                yield away
    except Contended:
        return
    except AgentctlError:
        yield away


def _broken_refs(hub: Hub) -> Iterator[Finding]:
    for name, why in refs.scan(hub.git_dir, [refnames.ROOT, "refs/heads/"], hub.objects).odd.items():
        path = os.path.join(hub.git_dir, name)
        mend = f"rm {_q(path)}" if os.path.lexists(path) else f"git -C {_q(hub.git_dir)} update-ref -d {_q(name)}"
        yield Finding(f"broken ref {printable(name)}: {why}", mend)


def _programs(given: Given, policy: Policy) -> Iterator[Finding]:
    tree = given.hub.objects.commit(given.tip).tree
    steps = [(f"gates.{g.name}", g.run, g.env) for g in policy.gates]
    for key, line, env in [*steps, ("slot.setup", policy.slot.setup, {})]:
        found = _FIRST_WORD.match(line)
        word = found.group(1) if found else ""
        if not word or _is_command(word, env):
            continue
        made = policy.slot.setup and key != "slot.setup" and "/" in word
        if not made and not given.hub.objects.at(tree, os.path.normpath(word)):
            yield Finding(f"{key} calls {word}, which is not on the PATH", f"install it, or edit {key} in {POLICY_PATH}")


def _is_command(word: str, env: dict[str, str]) -> bool:
    return subprocess.run(["/bin/sh", "-c", 'command -v -- "$1"', "sh", word], cwd="/", env=os.environ | dict(env),
                          capture_output=True).returncode == 0


def _globs(hub: Hub, tip: str, policy: Policy) -> Iterator[Finding]:
    """Globs that a person took for the names of directories, and gates that judge no file."""
    tree = hub.objects.commit(tip).tree
    listed = [(f"gates.{g.name}.paths", g.paths) for g in policy.gates]
    for key, patterns in [*listed, ("slot.setup_on", policy.slot.setup_on), ("protect", policy.protect)]:
        for pattern in patterns:
            entry = hub.objects.at(tree, pattern)
            if entry and entry[0] == TREE:
                yield Finding(f"{key} names the directory {pattern}, and so nothing in it",
                              f"write {pattern}/** there, in {POLICY_PATH}")
    for key, patterns in listed:
        if patterns and hub.objects.part(tree, patterns) == EMPTY_TREE:
            yield Finding(f"{key} matches no file of trunk: the gate does not run", f"edit {key} in {POLICY_PATH}")


def _adapter(policy: Policy) -> Iterator[Finding]:
    wanted, mine = policy.agents.adapter, tuple(policy.agents.command)
    try:
        if wanted != "command" or mine:
            adapters.command(wanted, mine if wanted == "command" else ())
    except AgentctlError as error:
        yield Finding(error.message, error.hint)


def _checkouts(hub: Hub, trunk: str) -> Iterator[Finding]:
    for tree in landing.checkouts(hub, trunk):
        changes = tree.git("status", "--porcelain", "--untracked-files=no").splitlines()
        if changes and _behind(hub, trunk, tree, changes):
            yield Finding(f"{tree.path} has {trunk} checked out, but the files of an older commit",
                          f"git -C {_q(tree.path)} reset --hard")
        elif changes:
            yield Finding(f"{tree.path} has {trunk} checked out with uncommitted changes", f"git -C {_q(tree.path)} stash")


def _behind(hub: Hub, trunk: str, tree: Worktree, changes: list[str]) -> bool:
    """True if trunk moved and the checkout did not: its files are those of its index,
    and that is a tree that trunk had."""
    if any(line[1] != " " for line in changes):
        return False
    had = hub.git("log", f"-n{HISTORY}", "--first-parent", "--format=%T", refnames.branch(trunk)).split()
    return tree.git("write-tree", ok=(0, 128)) in had


def _stale_locks(hub: Hub, trunk: str) -> Iterator[Finding]:
    first = set(recovery.stale_locks(hub, trunk))
    if not first:
        return
    time.sleep(MOMENT)
    again = first & set(recovery.stale_locks(hub, trunk))
    for path in sorted(again) if not recovery.git_at_work(hub) else ():
        yield Finding(f"a Git that died left {path}", f"rm {_q(path)}")


def _processes(hub: Hub) -> Iterator[Finding]:
    left = processes.orphans(hub.mark)
    if left:
        pids = " ".join(map(str, left))
        yield Finding(f"{len(left)} processes of gates or sessions run with nobody to watch them", f"kill -9 {pids}")


def _claims(hub: Hub) -> Iterator[Finding]:
    for name, ref in refs.read(hub.git_dir, [refnames.CLAIMS]).items():
        try:
            claim = decode_claim(ref.subject)
            dead = not processes.alive(claim.owner) or claim.expires <= time.time()
        except ValueError:
            yield Finding(f"{name} is not a claim", f"git update-ref -d {_q(name)}")
            continue
        if dead:
            yield Finding(f"the claim of {claim.agent} on {name.removeprefix(refnames.CLAIMS)} outlived its supervisor",
                          "agentctl run, which takes the task over")


def _worktrees(hub: Hub) -> Iterator[Finding]:
    for name in agents.names(hub):
        if not locks.holder(hub.own_path("locks", "agents", f"{name}.lock")):
            yield Finding(f"{name} has a worktree but runs no session", f"agentctl rm {name}")
    slots = os.path.join(hub.worktrees, "slots")
    if os.path.isdir(slots) and not locks.holder(hub.own_path("locks", "bot.lock")):
        yield Finding(f"the gates' worktrees in {slots} have no bot", "agentctl bot run --once")


def _inbox(hub: Hub) -> Iterator[Finding]:
    for name, ref in refs.read(hub.git_dir, [refnames.INBOX]).items():
        if inbox.parse(ref) is None:
            # What it holds may be somebody's work: a branch keeps it.
            keep = f"git branch found-{ref.target[:12]} {ref.target} && " if ref.kind in ("commit", "tag") else ""
            yield Finding(f"{name} is not a submission", f"{keep}git update-ref -d {_q(name)}")


def _malformed(hub: Hub) -> Iterator[Finding]:
    """The ledger and the tasks; each whether or not another one is broken."""
    reads = [lambda: Ledger.read(hub).state(), lambda: Ledger.read(hub).ended()]
    reads += [functools.partial(tasks.read, hub, name.removeprefix(refnames.TASKS), ref.oid)
              for name, ref in refs.read(hub.git_dir, [refnames.TASKS]).items()]
    found = []
    for read in reads:
        try:
            read()
        except Malformed as error:
            found.append(Finding(error.message, error.hint))
    yield from dict.fromkeys(found)


def _q(text: str) -> str:
    return shlex.quote(text)
