"""agentctl doctor: what is wrong with the machine or the set-up, and how to mend it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from agentctl.commands.parser import Given, command, given
from agentctl.core import refnames
from agentctl.engine import locks, processes
from agentctl.errors import AgentctlError, Contended, Findings
from agentctl.fleet import adapters, agents, tasks
from agentctl.git import process, refs
from agentctl.git.hub import Hub
from agentctl.queue import inbox, landing, recovery

ROOM = 1 << 30
"""Bytes of free disk below which worktrees soon fail."""


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    mend: str


@command("doctor", "agentctl doctor\nagentctl doctor --json")
@given
def command(given: Given) -> int:
    """Find what is wrong with machine and hub, and how to mend it.

    Exit status 9 if there is something.
    """
    found = [f for check in (_machine, _policy, _leftovers, _protocol) for f in check(given)]
    if given.json:
        given.emit([asdict(f) for f in found])
    for finding in found:
        given.say(f"found: {finding.what}\n mend: {finding.mend}")
    if found:
        raise Findings(f"{len(found)} findings", hint=found[0].mend)
    version = ".".join(map(str, process.version()))
    given.say(f"Git {version}, trunk {given.trunk}, gates {', '.join(g.name for g in given.policy.gates)}: all well")
    return 0


def _machine(given: Given) -> Iterator[Finding]:
    hub = given.hub
    free = shutil.disk_usage(hub.git_dir).free
    if free < ROOM:
        yield Finding(f"only {free >> 20} MiB are free where the hub is", "free some disk space")
    probe = hub.own_path("locks", "doctor.lock")
    try:
        with locks.acquire(probe, "the doctor's lock", timeout=5):
            pass
    except AgentctlError as error:
        yield Finding(f"locks do not work here: {error.message}", "put the hub on a local file system")


def _policy(given: Given) -> Iterator[Finding]:
    try:
        policy = given.policy
    except AgentctlError as error:
        yield Finding(error.message, error.hint or "agentctl policy check")
        return
    for gate in policy.gates:
        words = shlex.split(gate.run, comments=True, posix=True) if gate.run.count("'") % 2 == 0 else []
        program = next((w for w in words if "=" not in w), "")
        if program and not _is_command(program) and not given.hub.objects.at(
                given.hub.objects.commit(given.tip).tree, program.removeprefix("./")):
            yield Finding(f"the gate {gate.name!r} calls {program!r}, which is not on the PATH",
                          f"install it, or change `run` in .agentctl/policy.yaml (gates.{gate.name})")
    try:
        adapter = policy.agents.adapter
        if adapter != "command" or policy.agents.command:
            adapters.command(adapter, tuple(policy.agents.command) if adapter == "command" else ())
    except AgentctlError as error:
        yield Finding(error.message, error.hint)
    try:
        landing.refuse_dirty(given.hub, policy.trunk)
    except AgentctlError as error:
        yield Finding(error.message, error.hint)


def _is_command(word: str) -> bool:
    return subprocess.run(["/bin/sh", "-c", 'command -v -- "$1"', "sh", word], capture_output=True).returncode == 0


def _leftovers(given: Given) -> Iterator[Finding]:
    hub = given.hub
    running = locks.holder(hub.own_path("locks", "bot.lock"))
    again = "agentctl bot run --once clears it"
    for path in recovery.stale_locks(hub, _trunk(given)) if not running and not recovery.git_at_work(hub) else ():
        yield Finding(f"a Git that died left {path}", again)
    if not running and (left := list(processes.marked(hub.mark + "gate"))):
        yield Finding(f"{len(left)} processes of gates run without a bot", again)
    slots = os.path.join(hub.worktrees, "slots")
    if not running and os.path.isdir(slots):
        yield Finding(f"gates' worktrees were left in {slots}", again)
    for name, (claim, _) in tasks.claims(hub).items():
        if not processes.alive(claim.owner):
            yield Finding(f"the claim of {claim.agent} on {name} outlived its supervisor", "agentctl run takes it over")
    for name in agents.names(hub):
        if _idle(hub, name) and list(processes.marked(f"{hub.mark}session/{name}/")):
            yield Finding(f"processes of {name} run without a supervisor", f"agentctl stop {name}")


def _idle(hub: Hub, agent: str) -> bool:
    try:
        with agents.lock(hub, agent):
            return True
    except Contended:
        return False


def _trunk(given: Given) -> str:
    try:
        return given.trunk
    except AgentctlError:
        return "main"


def _protocol(given: Given) -> Iterator[Finding]:
    listed = refs.read(given.hub.git_dir, [refnames.INBOX])
    for name, ref in listed.items():
        if inbox.parse(ref) is None:
            yield Finding(f"{name} is not a submission", f"git update-ref -d {name}")
