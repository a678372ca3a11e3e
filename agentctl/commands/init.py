"""agentctl init: make a repository a hub."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

import click

from agentctl.core import refnames
from agentctl.core.policy import preset as presets
from agentctl.core.policy.gate_files import gate_files
from agentctl.core.policy.policy import Policy, parse
from agentctl.core.policy.project import Project
from agentctl.core.policy.toolchains import ANY, MOST, Proposal, projects, proposal
from agentctl.core.queue.model import Verdict
from agentctl.core.text.json_form import facts
from agentctl.core.text.printable import printable, uncoloured
from agentctl.engine import files
from agentctl.errors import GateSaidNo, Infrastructure, NotFound, Refused, UsageError
from agentctl.gate import judging
from agentctl.git import stale_locks
from agentctl.git.repository import POLICY_PATH, Hub
from agentctl.hub import joining
from agentctl.hub.policy_file import checked_out, record_trunk
from agentctl.hub.verdicts import Judgement
from agentctl.messages import quoted
from agentctl.terminal.package_files import data_file
from agentctl.terminal.parser import Given, as_command, given

PRESETS = ("default", "solo", "strict")

LONGEST = 1 << 20
"""The most bytes of a script that are looked at."""
SHOWN = 20
"""The last lines of a gate that fails which are shown."""


@as_command(
    "init",
    """
agentctl init
agentctl init --gate 'make check' --preset strict
agentctl init --trunk develop
agentctl init --remote origin
""",
)
@click.option("--preset", type=click.Choice(PRESETS), default="default", help="Policy to start from.")
@click.option("--gate", metavar="CMD", help="Command that judges a commit (default: by what the repository holds).")
@click.option("--trunk", metavar="BRANCH", help="The protected branch (default: the one checked out, or main).")
@click.option("--remote", metavar="NAME", help="Let the hub stand on a remote of this repository, such as origin.")
@click.option("--no-try", is_flag=True, help="Do not run the gate to see whether it passes.")
@given
def command(given: Given, preset: str, gate: str | None, trunk: str | None, remote: str | None, no_try: bool) -> int:
    """Make this repository a hub: write its policy and try its gate.

    Writes .agentctl/policy.yaml for you to look at and commit: how the repository is set up and
    tested is told from its files, and said. Then the gate is run on trunk as the bot would run it,
    in a worktree of its own (exit status 7 if it fails); once you have edited the file, the same
    command tries it again. The scripts and makefiles that the gate calls are protected: no change
    may touch them until you take them out. A policy that is on trunk already stays as it is, and
    `agentctl test` tries it. With --remote the hub is that remote: trunk there is what counts,
    whoever has a clone and may push can submit, and a bot or a fleet may run in any clone.
    """
    if remote:
        joining.stand_on(given.hub, remote)
    return init(given, preset, gate, trunk, tried=not no_try)


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` reports."""

    state: str
    trunk: str
    committed: bool
    protect: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    """Files that the gate reads although changes may touch them."""
    found: tuple[Project, ...] = ()
    """The projects by which the repository is set up and tested."""


def init(given: Given, preset: str, gate: str | None, trunk: str | None, tried: bool) -> int:
    """Make the repository a hub, and return the exit status.

    The steps are in such an order that the same command finishes what a kill cut off.
    """
    hub = given.hub
    branch = trunk or _default_branch(hub)
    if not hub.refs.get(refnames.branch(branch)):
        if hub.station and hub.here.get(refnames.branch(branch)):
            remote = hub.config("agentctl.remote")
            raise NotFound(f"{remote} has no branch {branch!r} yet", hint=f"git push -u {remote} {quoted(branch)}")
        raise NotFound(
            f"there is no branch {branch!r} with a commit on it",
            hint="make a first commit: git add . && git commit, or name another branch: agentctl init --trunk BRANCH",
        )
    tip = hub.trunk_tip(branch)
    tree = hub.objects.commit(tip).tree
    known = hub.objects.read(tree, POLICY_PATH)
    path = os.path.join(hub.top, POLICY_PATH) if hub.top else None
    there = known if known is not None else _read(path) if path and os.path.exists(path) else None
    found = () if known is not None else _projects(hub, tip)
    if there is not None:
        policy = parse(there.decode(errors="replace"), POLICY_PATH)
        if trunk and policy.trunk != trunk:
            raise Refused(
                f"there is a policy already, and it names {policy.trunk} as trunk", hint=f"set `trunk: {trunk}` in {POLICY_PATH}"
            )
        record_trunk(hub, policy.trunk)
        # An `init` that was killed at its very end may have left locks of Git.
        stale_locks.clear(hub.git_dir, stale_locks.ref_locks(hub.git_dir))
        if (remote := hub.config("agentctl.remote")) and policy.remote != remote:
            given.say(f"{POLICY_PATH} does not say `remote: {remote}`: other clones join by themselves only if it does", hang=2)
        made = Made("there already", policy.trunk, known is not None)
    else:
        begun = Proposal((("test", gate),)) if gate else _proposal(found)
        protect, left = gate_files(" && ".join(run for _, run in begun.gates), functools.partial(_text, hub, tree))
        source = data_file("policies", preset + ".yaml")
        text = presets.filled(source, POLICY_PATH, branch, begun, protect, hub.config("agentctl.remote") or "")
        record_trunk(hub, branch)
        if path:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            files.replace(path, text)
        else:
            _commit(hub, branch, text)
        policy = parse(text, POLICY_PATH)
        made = Made("written", branch, path is None, policy.protect, left, () if gate else found)
    _report(given, made)
    judgement = _try(given, policy, tip) if tried and known is None else None
    if given.json:
        given.emit({"policy": POLICY_PATH, **facts(made), "tried": facts(judgement) if judgement else None})
    if judgement and judgement.verdict is not Verdict.PASSED:
        kind = GateSaidNo if judgement.verdict is Verdict.FAILED else Infrastructure
        raise kind(f"{policy.trunk} does not pass: {judgement.why}", hint=_mend(policy, judgement, found))
    _tell_next(given, made)
    return 0


def _projects(hub: Hub, tip: str) -> tuple[Project, ...]:
    listed = hub.git("ls-tree", "-r", "-z", "--name-only", tip)
    tree = hub.objects.commit(tip).tree
    return projects([path for path in listed.split("\0") if path], functools.partial(_text, hub, tree))


def _proposal(found: tuple[Project, ...]) -> Proposal:
    if not found:
        raise UsageError("cannot tell how this repository is tested", hint="agentctl init --gate 'COMMAND'")
    if len(found) > MOST:
        raise UsageError(
            f"there are {len(found)} projects here, such as {found[0].folder} and {found[1].folder}: what tests them all?",
            hint="agentctl init --gate 'COMMAND'",
        )
    return proposal(found)


def _try(given: Given, policy: Policy, tip: str) -> Judgement:
    """Run the gates of a policy that is not on trunk yet on trunk, and tell how it went."""
    steps = [step for step in (policy.slot.setup, *(gate.run for gate in policy.gates)) if step]
    given.note(f"trying on {policy.trunk}, in a worktree of its own: {'; '.join(steps)}")
    judgement = judging.once(given.hub, policy, tip)
    if judgement.verdict is Verdict.PASSED:
        given.say(f"passed in {judgement.seconds:.1f} s")
    else:
        for line in uncoloured(judgement.log).rstrip().splitlines()[-SHOWN:]:
            given.say(f"  {line}")
    return judgement


def _mend(policy: Policy, judgement: Judgement, found: tuple[Project, ...]) -> str:
    """Return what to do about a gate that does not pass on trunk as it is."""
    again = "then again: agentctl init"
    if judgement.step == judging.SETUP:
        return f"install what it lacks, or edit slot.setup in {POLICY_PATH}, {again}"
    setup = proposal(found).setup if not policy.slot.setup and 0 < len(found) <= MOST else ""
    if setup:
        return f"nothing is installed in that worktree: write slot.setup in {POLICY_PATH}, such as {setup}; {again}"
    return f"mend {policy.trunk}, or edit gates.{judgement.step}.run in {POLICY_PATH}, {again}"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _text(hub: Hub, tree: str, path: str) -> str | None:
    data = hub.objects.read(tree, path)
    return None if data is None else data[:LONGEST].decode(errors="replace")


def _default_branch(hub: Hub) -> str:
    current = checked_out(hub)
    return hub.config("agentctl.trunk") or (current if current in ("main", "master") or not _has_main(hub) else "main")


def _has_main(hub: Hub) -> bool:
    return bool(hub.git("rev-parse", "--verify", "--quiet", "refs/heads/main", ok=(0, 1)))


def _commit(hub: Hub, branch: str, text: str) -> None:
    """Commit the policy on trunk, because a bare repository has no worktree to write the file to."""
    tip = hub.trunk_tip(branch)
    who = hub.person()
    tree = hub.objects.replace(hub.objects.commit(tip).tree, {POLICY_PATH: text.encode()})
    made = hub.objects.write_commit(tree, [tip], "agentctl: add the policy\n", time.time(), author=who, committer=who)
    move = hub.refs.transaction("init")
    move.update(refnames.branch(branch), made, tip)
    move.commit()


def _report(given: Given, made: Made) -> None:
    given.say(f"{POLICY_PATH}: {made.state}{', committed on ' + made.trunk if made.committed else ''}")
    for project in made.found:
        place = f" in {project.folder}" if project.folder else ""
        what = "found" if project.language == ANY else project.language
        given.say(f"{what}{place}: {project.because}", hang=2)
    if made.protect:
        given.say(f"no change may touch: {', '.join(made.protect)} (take out of `protect:` what ordinary work changes)", hang=2)
    if made.open:
        given.say(f"changes may touch, though the gate reads it: {', '.join(made.open)}", hang=2)


def _tell_next(given: Given, made: Made) -> None:
    if made.committed:
        given.say("next:\n  agentctl task add 'Describe the work'\n  agentctl run --agents 4 -- COMMAND...")
        return
    here = checked_out(given.hub)
    remote = given.hub.config("agentctl.remote")
    push = f" && git push {remote} {quoted(made.trunk)}" if remote else ""
    away = f"git switch {quoted(made.trunk)} && " if here and here != made.trunk else ""
    if away:
        given.say(
            f"trunk is {made.trunk}, and {printable(here)} is checked out; should that be trunk: set `trunk:` in the file", hang=2
        )
    given.say(f"next: look at it, then:\n  {away}git add {POLICY_PATH} && git commit -m 'agentctl: add the policy'{push}")
