"""agentctl hook: Git hooks that keep people and agents from bypassing the queue."""

from __future__ import annotations

import os
import shlex
import sys

import click

from agentctl.commands import run_hook
from agentctl.engine import files
from agentctl.errors import AgentctlError, Refused
from agentctl.git import process
from agentctl.hub.policy_file import record_trunk
from agentctl.terminal.package_files import data_file
from agentctl.terminal.parser import Given, as_command, given, group

USUAL = ("pre-commit", "pre-push")
GUARD, GUARD_HUB = "reference-transaction", "pre-receive"
EVERY = (*USUAL, GUARD, GUARD_HUB)
MARK = "agentctl hook install"


@group("hook", "agentctl hook install\nagentctl hook install --guard-trunk\nagentctl hook status")
def hook_group() -> None:
    """Install, remove and list the Git hooks."""


def _folder(given: Given) -> str:
    """Return the folder in which Git looks for hooks.

    Raises NotFound outside a repository.
    """
    return process.as_user(["rev-parse", "--path-format=absolute", "--git-path", "hooks"], cwd=given.hub.top or given.hub.git_dir)


def _own_folder(given: Given) -> str:
    """Return the folder of `_folder`, which has to be in the hub's Git directory.

    Raises Refused if it is not: then `core.hooksPath` leads to a folder that other repositories share, or to files of
    the project.
    """
    folder, own = _folder(given), os.path.join(given.hub.git_dir, "hooks")
    if os.path.realpath(folder).startswith(given.hub.git_dir + os.sep):
        return folder
    raise Refused(
        f"core.hooksPath leads to {folder}, which is not this repository's alone: nothing is written there. "
        'Call this from your hooks there: agentctl hook run pre-commit "$@"; or have this repository use hooks '
        "of its own, and no longer those",
        hint=f"git config core.hooksPath {shlex.quote(own)} && agentctl hook install",
    )


def _record_trunk(given: Given) -> None:
    """Record trunk's name in Git's configuration, where the hooks look for it."""
    try:
        record_trunk(given.hub, given.trunk)
    except AgentctlError:
        # Before the first policy is committed, the name that `init` has recorded is used.
        if not given.hub.config("agentctl.trunk"):
            raise


def _ours(path: str) -> bool:
    try:
        with open(path, errors="replace") as file:
            return MARK in file.read(4096)
    except OSError:
        return False


@hook_group.add_command
@as_command(
    "install", "agentctl hook install\nagentctl hook install --guard-trunk\nagentctl -C /srv/hub.git hook install --guard-hub"
)
@click.option("--guard-trunk", is_flag=True, help="Also refuse every move of trunk but the bot's; it slows fetches down.")
@click.option("--guard-hub", is_flag=True, help="Only, at a hub that others push to: refuse pushes around the queue.")
@given
def install(given: Given, guard_trunk: bool, guard_hub: bool) -> int:
    """Refuse commits on trunk, and pushes by agents. Other people's hooks are left alone.

    With --guard-hub, in a repository that is a hub for others, trunk moves only forward and only
    as the bot lands: together with the ledger. `git config agentctl.botUser NAME` says whose
    pushes are the bot's, by the name that the server gives a hook; then only those move trunk,
    the ledger, verdicts and answers.
    """
    folder = _own_folder(given)
    names = (GUARD_HUB,) if guard_hub else USUAL + ((GUARD,) if guard_trunk else ())
    for name in names:
        path = os.path.join(folder, name)
        if os.path.exists(path) and not _ours(path):
            raise Refused(f"there is another {name} hook: {path}", hint=f'call this from it: agentctl hook run {name} "$@"')
    _record_trunk(given)
    os.makedirs(folder, exist_ok=True)
    ourselves = shlex.join([sys.executable, "-m", "agentctl"])
    for name in names:
        files.replace(os.path.join(folder, name), data_file("hooks", name).replace("@AGENTCTL@", ourselves), 0o777)
        given.say(f"{name}: installed")
    if given.json:
        given.emit({name: "installed" for name in names})
    return 0


@hook_group.add_command
@as_command("uninstall", "agentctl hook uninstall")
@given
def uninstall(given: Given) -> int:
    """Remove the hooks that install put there."""
    found = [
        (name, path)
        for folder in dict.fromkeys((_folder(given), os.path.join(given.hub.git_dir, "hooks")))
        for name in EVERY
        for path in [os.path.join(folder, name)]
        if _ours(path)
    ]
    for name, path in found:
        os.unlink(path)
        given.say(f"{name}: removed")
    if given.json:
        given.emit({name: "removed" for name, _ in found})
    return 0


@hook_group.add_command
@as_command("status", "agentctl hook status --json")
@given
def status(given: Given) -> int:
    """Say which hooks are installed."""
    folder = _folder(given)
    found = {
        name: "installed" if _ours(path) else "another" if os.path.exists(path) else "absent"
        for name in EVERY
        for path in [os.path.join(folder, name)]
    }
    if given.json:
        given.emit(found)
    for name, where in found.items():
        given.say(f"{name:<24}{where}")
    return 0


@hook_group.command(
    "run", context_settings={"ignore_unknown_options": True}, epilog="\b\nExamples:\n  agentctl hook run pre-commit"
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="NAME [ARGS]")
def run(args: tuple[str, ...]) -> int:
    """What Git calls; of use in a hook of your own."""  # noqa: D401
    return run_hook.run(list(args))


command = hook_group
