"""What a supervisor takes over from those before it: claims under which nobody works, and what they left running."""

from __future__ import annotations

import time
from collections.abc import Collection

from agentctl.core.policy.policy import Policy
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.ending import End
from agentctl.core.text.json_form import replace
from agentctl.engine import owner
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Runner
from agentctl.errors import Contended, Malformed, NotFound
from agentctl.fleet import agents, conclusion
from agentctl.fleet.listening import spent_so_far
from agentctl.git import worktrees
from agentctl.git.repository import Hub
from agentctl.hub import claims, presence, tasks
from agentctl.hub.tasks import Survey


def outlived(hub: Hub, claim: Claim) -> bool:
    """Tell whether the supervisor that made a claim is dead or has vanished, or the claim has expired."""
    return not owner.alive(claim.owner, hub.home) or claim.expires <= time.time() or presence.vanished(hub, claim)


def take_over(hub: Hub, trunk: str, policy: Policy, runner: Runner = LOCAL) -> list[str]:
    """End the sessions of supervisors that died, release claims that no session made, and return their tasks."""
    worktrees.follow(hub)
    done = end_claims(hub, trunk, policy, tasks.survey(hub, policy.agents.timeout), runner)
    for name in agents.names(hub):
        try:
            with agents.lock(hub, name):
                runner.sweep(f"{hub.mark}session/{name}/")
        except Contended:
            continue
    return done


def take_over_of(hub: Hub, trunk: str, policy: Policy, agent: str, runner: Runner = LOCAL) -> None:
    """End the sessions of one agent whose supervisor died."""
    found = tasks.survey(hub, policy.agents.timeout)
    own = {name: pair for name, pair in found.claims.items() if pair[0].agent == agent}
    if own:
        end_claims(hub, trunk, policy, replace(found, claims=own, unheeded={}), runner)


def end_claims(hub: Hub, trunk: str, policy: Policy, found: Survey, runner: Runner, own: Collection[str] = ()) -> list[str]:
    """Release the claims under which nobody works, and return their tasks; those of the tasks `own` are left alone.

    Where the supervisor died, what runs is killed, its work made safe, and the session written down first. Nothing is done
    unless the last look at the hub succeeded: whoever seems to be dead may have been heard of since.
    """
    done = list[str]()
    if hub.station and not hub.station.reached:
        return done
    for name, (_, oid, _) in found.unheeded.items():
        if name not in own:
            claims.release(hub, name, oid)
            done.append(name)
    for name, (claim, oid) in found.claims.items():
        if name in own or not outlived(hub, claim):
            continue
        try:
            # An agent whose lock is held works, whatever its name in a claim says.
            with agents.lock(hub, claim.agent):
                runner.sweep(f"{hub.mark}session/{claim.agent}/")
                _bury(hub, trunk, policy, name, claim)
                claims.release(hub, name, oid)
                done.append(name)
        except (Contended, Malformed, NotFound):
            continue
    return done


def _bury(hub: Hub, trunk: str, policy: Policy, name: str, claim: Claim) -> None:
    task = tasks.get(hub, name)
    tree = worktrees.of_agent(hub, claim.agent)
    if any(s.generation == claim.generation for s in task.sessions):
        return
    spent = spent_so_far(hub.own_path("sessions", name, str(claim.generation), "output.log"))
    work = conclusion.Assignment(task, claim.agent, (), False, trunk)
    if tree.there:
        ended = conclusion.conclude(hub, policy, work, claim, tree, End.INTERRUPTED, "the supervisor died", spent)
    else:
        ended = conclusion.without_worktree(hub, work, claim, End.INTERRUPTED, "the supervisor died", spent)
    conclusion.record(hub, name, ended)
