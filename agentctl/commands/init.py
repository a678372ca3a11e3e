"""agentctl init: make a repository a hub."""

from __future__ import annotations

import json
import os

import click

from agentctl.commands.data import data_file
from agentctl.commands.parser import Given, command, given
from agentctl.core.policy import parse
from agentctl.errors import NotFound, UsageError
from agentctl.git import process
from agentctl.git.hub import POLICY_PATH, Hub

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
"""A file at the top, and the gate to begin with where there is one."""


@command("init", """
agentctl init
agentctl init --gate 'make check' --preset strict
agentctl init --trunk develop
""")
@click.option("--preset", type=click.Choice(PRESETS), default="default", help="Policy to start from.")
@click.option("--gate", metavar="CMD", help="Command that judges a commit (default: by what the repository holds).")
@click.option("--trunk", metavar="BRANCH", help="The protected branch (default: the one checked out, or main).")
@given
def command(given: Given, preset: str, gate: str | None, trunk: str | None) -> int:
    """Make this repository a hub: check it and write its policy.

    Writes .agentctl/policy.yaml for you to look at and commit. Where there is one already,
    nothing changes.
    """
    return init(given, preset, gate, trunk)


def init(given: Given, preset: str, gate: str | None, trunk: str | None) -> int:
    hub = given.hub
    branch = trunk or _default_branch(hub)
    if not hub.git("rev-parse", "--verify", "--quiet", "refs/heads/" + branch, ok=(0, 1)):
        raise NotFound(f"there is no branch {branch!r} with a commit on it",
                       hint="make a first commit, or name one: agentctl init --trunk BRANCH")
    known = hub.objects.read(hub.objects.commit(hub.trunk_tip(branch)).tree, POLICY_PATH)
    path = os.path.join(hub.top, POLICY_PATH) if hub.top else None
    if known or (path and os.path.exists(path)):
        with_text = known if known else open(path, "rb").read()
        parse(with_text.decode(errors="replace"), POLICY_PATH)
        return _report(given, "there already", branch, committed=bool(known))
    text = filled(preset, branch, gate or _gate(hub, branch))
    if path:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    else:
        _commit(hub, branch, text)
    if branch not in ("main", "master") or hub.config("agentctl.trunk"):
        hub.git("config", "agentctl.trunk", branch)
    return _report(given, "written", branch, committed=path is None)


def filled(preset: str, trunk: str, gate: str) -> str:
    """The text of a preset with gate and trunk put in. Raises PolicyError if that is invalid."""
    text = data_file("policies", preset + ".yaml").replace("@GATE@", json.dumps(gate, ensure_ascii=False))
    if trunk != "main":
        text = text.replace("\ntrunk: main", "\ntrunk: " + json.dumps(trunk))
    parse(text, POLICY_PATH)
    return text


def _default_branch(hub: Hub) -> str:
    current = process.as_user(["symbolic-ref", "--short", "-q", "HEAD"], cwd=hub.top or hub.git_dir, ok=(0, 1))
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
    """A bare repository has no worktree to write to: the file is committed on trunk."""
    from agentctl.git.refs import Transaction
    import time

    tip = hub.trunk_tip(branch)
    who = hub.person()
    tree = hub.objects.replace(hub.objects.commit(tip).tree, {POLICY_PATH: text.encode()})
    made = hub.objects.write_commit(tree, [tip], "agentctl: add the policy\n", time.time(), author=who, committer=who)
    move = Transaction(hub.git_dir, "init")
    move.update("refs/heads/" + branch, made, tip)
    move.commit()


def _report(given: Given, what: str, branch: str, committed: bool) -> int:
    if given.json:
        given.emit({"policy": POLICY_PATH, "state": what, "trunk": branch, "committed": committed})
    given.say(f"{POLICY_PATH}: {what}{', committed on ' + branch if committed else ''}")
    if committed:
        given.say("next:\n  agentctl task add 'Describe the work'\n  agentctl run --agents 4 -- COMMAND...")
    else:
        given.say(f"next: look at it, then:\n  git add {POLICY_PATH} && git commit -m 'agentctl: add the policy'")
    return 0
