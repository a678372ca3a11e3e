"""agentctl init: make a repository a hub."""

from __future__ import annotations

import functools
import json
import os
import re
import time
from dataclasses import dataclass

import click

from agentctl.core import refnames
from agentctl.core.policy.gate_files import gate_files
from agentctl.core.policy.policy import parse
from agentctl.core.text import globs
from agentctl.core.text.json_form import facts
from agentctl.core.text.printable import printable
from agentctl.engine import files
from agentctl.errors import NotFound, Refused, UsageError
from agentctl.git import stale_locks
from agentctl.git.repository import POLICY_PATH, Hub
from agentctl.hub import joining
from agentctl.hub.policy_file import checked_out, record_trunk
from agentctl.messages import quoted
from agentctl.terminal.package_files import data_file
from agentctl.terminal.parser import Given, as_command, given

PRESETS = ("default", "solo", "strict")

GATES = (
    ("pyproject.toml", "python -m pytest -q"),
    ("pytest.ini", "python -m pytest -q"),
    ("setup.py", "python -m pytest -q"),
    ("Cargo.toml", "cargo test --quiet"),
    ("go.mod", "go test ./..."),
    ("package.json", "npm test --silent"),
    ("pom.xml", "mvn -q test"),
    ("Makefile", "make test"),
)
"""Files at the top of a repository, and for each one the gate to begin with if it is there."""

OWN = "  - .agentctl/**\n"
REASON = """\
  # What the gate calls, as far as can be told: who may change it can make any change pass.
  # Take out what ordinary work has to change.
"""
ON_REMOTE = "# The hub is this remote: what is true there counts, and each clone is a station.\n"
LONGEST = 1 << 20
"""The most bytes of a script that are looked at."""


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
@given
def command(given: Given, preset: str, gate: str | None, trunk: str | None, remote: str | None) -> int:
    """Make this repository a hub: check it and write its policy.

    Writes .agentctl/policy.yaml for you to look at and commit. The scripts and makefiles that
    the gate calls are protected there: no change may touch them until you take them out.
    Where there is a policy already, nothing changes. With --remote the hub is that remote: trunk
    there is what counts, whoever has a clone and may push can submit, and a bot or a fleet may run
    in any clone.
    """
    if remote:
        joining.stand_on(given.hub, remote)
    return init(given, preset, gate, trunk)


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` reports."""

    state: str
    trunk: str
    committed: bool
    protect: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    """Files that the gate reads although changes may touch them."""


def init(given: Given, preset: str, gate: str | None, trunk: str | None) -> int:
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
    tree = hub.objects.commit(hub.trunk_tip(branch)).tree
    known = hub.objects.read(tree, POLICY_PATH)
    path = os.path.join(hub.top, POLICY_PATH) if hub.top else None
    there = known if known is not None else _read(path) if path and os.path.exists(path) else None
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
        return _report(given, Made("there already", policy.trunk, known is not None))
    gate = gate or _gate(hub, branch)
    protect, left = gate_files(gate, functools.partial(_text, hub, tree))
    text = filled(preset, branch, gate, protect, hub.config("agentctl.remote") or "")
    record_trunk(hub, branch)
    if path:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.replace(path, text)
    else:
        _commit(hub, branch, text)
    return _report(given, Made("written", branch, path is None, parse(text, POLICY_PATH).protect, left))


def filled(preset: str, trunk: str, gate: str, protect: tuple[str, ...] = (), remote: str = "") -> str:
    """Return the text of a preset with the gate, trunk, the files to protect and the remote put in.

    Raises PolicyError if the result is invalid.
    """
    text = data_file("policies", preset + ".yaml").replace("@GATE@", json.dumps(gate, ensure_ascii=False))
    if trunk != "main":
        text = text.replace("\ntrunk: main", "\ntrunk: " + json.dumps(trunk))
    if remote:
        text = re.sub("(?m)^(trunk: .*)$", lambda line: f"{line[0]}\n{ON_REMOTE}remote: {remote}", text, count=1)
    known = parse(text, POLICY_PATH).protect
    new = [path for path in protect if not any(globs.matches(pattern, path) for pattern in known)]
    if new:
        words = [f"  - {json.dumps(path, ensure_ascii=False)}\n" for path in new]
        text = text.replace(OWN, f"{OWN}{REASON}{''.join(words)}", 1)
    parse(text, POLICY_PATH)
    return text


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


def _gate(hub: Hub, branch: str) -> str:
    top = hub.objects.tree(hub.objects.commit(hub.trunk_tip(branch)).tree)
    for name, gate in GATES:
        if name.encode() in top:
            return gate
    raise UsageError("cannot tell how this repository is tested", hint="agentctl init --gate 'COMMAND'")


def _commit(hub: Hub, branch: str, text: str) -> None:
    """Commit the policy on trunk, because a bare repository has no worktree to write the file to."""
    tip = hub.trunk_tip(branch)
    who = hub.person()
    tree = hub.objects.replace(hub.objects.commit(tip).tree, {POLICY_PATH: text.encode()})
    made = hub.objects.write_commit(tree, [tip], "agentctl: add the policy\n", time.time(), author=who, committer=who)
    move = hub.refs.transaction("init")
    move.update(refnames.branch(branch), made, tip)
    move.commit()


def _report(given: Given, made: Made) -> int:
    if given.json:
        given.emit({"policy": POLICY_PATH, **facts(made)})
    given.say(f"{POLICY_PATH}: {made.state}{', committed on ' + made.trunk if made.committed else ''}")
    if made.protect:
        given.say(f"no change may touch: {', '.join(made.protect)} (take out of `protect:` what ordinary work changes)", hang=2)
    if made.open:
        given.say(f"changes may touch, though the gate reads it: {', '.join(made.open)}", hang=2)
    if made.committed:
        given.say("next:\n  agentctl task add 'Describe the work'\n  agentctl run --agents 4 -- COMMAND...")
    else:
        here = checked_out(given.hub)
        remote = given.hub.config("agentctl.remote")
        push = f" && git push {remote} {quoted(made.trunk)}" if remote else ""
        away = f"git switch {quoted(made.trunk)} && " if here and here != made.trunk else ""
        if away:
            given.say(
                f"trunk is {made.trunk}, and {printable(here)} is checked out; should that be trunk: set `trunk:` in the file",
                hang=2,
            )
        given.say(f"next: look at it, then:\n  {away}git add {POLICY_PATH} && git commit -m 'agentctl: add the policy'{push}")
    return 0
