"""The trial of agent programs: each does a tiny task for real, in a repository made for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

from agentctl.core import refnames
from agentctl.core.policy.policy import Agents, Policy, parse
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE
from agentctl.core.tasks.task import Session, Task
from agentctl.fleet import adapters, session
from agentctl.fleet.conclusion import Assignment
from agentctl.git.repository import POLICY_PATH, Hub
from agentctl.hub import throwaway

LONGEST = 180.0
"""Seconds after which a trial is ended."""
SILENCE = 60.0
"""Seconds of silence after which it is ended."""
PROMPT = "Create the file hello.txt with the one line `hello`, and commit it with the message `Say hello`. Do nothing else."
POLICY = "version: 1\ngates: [{name: none, run: 'true'}]\n"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one program."""

    adapter: str
    well: bool
    seconds: float
    spent: Spent
    how: str
    """How its session ended, in words."""
    todo: str = ""
    """What a person can do; empty if it went well."""


def installed() -> list[str]:
    """List the adapters whose program is on the PATH."""
    return [name for name, adapter in adapters.ADAPTERS.items() if adapter.argv and shutil.which(adapter.argv[0])]


def attempt(name: str, settings: Agents) -> Trial:
    """Have the program of an adapter do the task, with the environment and the model of `settings`."""
    with throwaway.repository("trial", "trial", {POLICY_PATH: POLICY}, "agentctl") as hub:
        own = settings.command if settings.adapter == name else ()
        argv = adapters.command(name, own, lambda path: False, settings.model if settings.adapter == name else "")
        tuned = replace(settings, adapter=name, setup="", timeout=LONGEST, silence=SILENCE)
        policy: Policy = replace(parse(POLICY, "trial"), agents=tuned)
        stdin = adapters.lookup(name).stdin
        work = Assignment(Task("trial", "Say hello", PROMPT), "trial", argv, stdin, "main", False)
        return _judged(name, session.SessionRun(hub, policy, work).go(), hub)


def _judged(name: str, ended: Session, hub: Hub) -> Trial:
    """Judge a session by what it handed in."""
    made = hub.refs.names([refnames.INBOX]).oids
    head = next(iter(made.values()), "")
    there = hub.objects.read(hub.objects.commit(_commit(hub, head)).tree, "hello.txt") if head else None
    well = ended.end == End.SUBMITTED and (there or b"").strip() == b"hello"
    how = "well" if well else f"{ended.end}{': ' + ended.note if ended.note else ''}"
    if ended.end == End.SUBMITTED and not well:
        how = "it handed in something else than it was asked for"
    nature = NATURE[ended.failure.kind] if ended.failure else None
    todo = "" if well else (nature and nature.todo) or f"run the program by hand: {adapters.lookup(name).argv[0]}"
    return Trial(name, well, ended.seconds, ended.spent, how, todo)


def _commit(hub: Hub, oid: str) -> str:
    return hub.git("rev-parse", "--verify", oid + "^{commit}").strip()
