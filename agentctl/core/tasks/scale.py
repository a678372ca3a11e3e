"""How many agents work at the same time: whoever said a number last is heard."""

from __future__ import annotations

from agentctl.core.text.json_form import Struct, dump, load

MOST = 10_000


class Scale(Struct, frozen=True):
    """What `agentctl scale` said last."""

    agents: int | None
    """None: as many as the policy says."""
    at: float


def agents(said: Scale | None, asked: int | None, begun: float, policy: int) -> int:
    """Return how many agents a run has.

    `asked` is what the run was asked for when it had `begun`, None if nothing; `policy` is the count of the policy in
    force.
    """
    if said and (asked is None or said.at >= begun):
        return said.agents or policy
    return asked or policy


def encode(scale: Scale) -> bytes:
    return dump(scale) + b"\n"


def decode(data: bytes) -> Scale:
    """Return the scale from JSON. Raise ValueError if the data is none."""
    scale = load(Scale, data)
    if scale.agents is not None and not 1 <= scale.agents <= MOST:
        raise ValueError(f"agents is {scale.agents}")
    return scale
