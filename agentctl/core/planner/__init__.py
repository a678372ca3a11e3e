"""The planner."""

from __future__ import annotations

from agentctl.core.model import Land, Plan, View
from agentctl.core.planner.beliefs import Limits
from agentctl.core.planner.choose import Chooser, cancel
from agentctl.core.planner.digest import digest
from agentctl.core.planner.judge import judge
from agentctl.core.planner.state import dump, load
from agentctl.core.planner.turn import Turn

__all__ = ["Limits", "plan"]


def plan(view: View, policy: Limits, now: float) -> Plan:
    turn = Turn(view, policy, load(view.memory))
    digest(turn)
    judge(turn)
    cancel(turn)
    if not any(isinstance(a, Land) for a in turn.actions):
        Chooser(turn).fill()
    return Plan(dump(turn.mem), tuple(turn.actions))
