"""agentctl rm: remove an agent's worktree and branch."""

from __future__ import annotations

import os

import click

from agentctl.core import refnames
from agentctl.errors import NotFound, Refused
from agentctl.fleet import agents, in_session, takeover
from agentctl.git import worktrees
from agentctl.git.worktrees import Condition
from agentctl.messages import quoted
from agentctl.terminal.parser import Given, as_command, given


@as_command("rm", "agentctl rm ann\nagentctl rm ann --force")
@click.argument("agent")
@click.option("--force", is_flag=True, help="Also with work that was not submitted: it is kept in a salvage ref.")
@given
def command(given: Given, agent: str, force: bool) -> int:
    """Remove AGENT's worktree and branch. Nothing is lost: see --force."""
    hub = given.hub
    in_session.refuse(hub)
    if agent not in agents.names(hub) or not refnames.valid_name(agent):
        worktrees.tidy(hub)  # An `rm` that was killed at its very end may have left empty folders.
        raise NotFound(f"no agent called {agent!r} has a worktree here", hint="agentctl ps")
    # What a supervisor that died left unfinished is finished first, so that its task is told where the work is.
    takeover.take_over_of(hub, given.trunk, given.policy, agent)
    tree = worktrees.of_agent(hub, agent)
    if not force and (work := agents.unsafe(hub, agent, tree, given.tip)):
        raise Refused(
            f"{agent} has work that was not submitted: {work}",
            hint=f"commit what is not, then agentctl -C {quoted(tree.path)} submit; or agentctl rm --force {agent}",
        )
    if not force and not tree.there and os.path.lexists(tree.path):
        raise Refused(
            f"{tree.path} is not the folder that agentctl made for {agent}",
            hint=f"agentctl rm --force {agent} moves it aside, and deletes nothing",
        )
    if not force and not os.path.lexists(tree.path) and tree.record and tree.record.state is Condition.GIVEN:
        raise Refused(
            f"{tree.path} is gone, and may have held work",
            hint=f"if it was moved or left behind, put it back there; or agentctl rm --force {agent} forgets it",
        )
    kept = agents.remove(hub, agent, given.tip)
    if given.json:
        given.emit({"agent": agent, "salvage": kept})
    given.say(f"{agent}: removed" + (f"; its work is kept in {kept}" if kept else ""))
    return 0
