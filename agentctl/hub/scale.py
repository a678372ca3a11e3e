"""What `agentctl scale` said last: a file in the hub's own folder, since how many agents run here is this machine's affair."""

from __future__ import annotations

import contextlib

import msgspec

from agentctl.core.tasks import scale
from agentctl.core.tasks.scale import Scale
from agentctl.core.text.json_form import Plain, Struct, dump, load
from agentctl.engine import owner
from agentctl.git import folders, modes
from agentctl.git.repository import Hub

FILE, WORKING = "scale.json", "working.json"


def read(hub: Hub) -> Scale | None:
    """Return what was said last; None if nothing was, or if the file cannot be read."""
    data = folders.content(hub.own_path(FILE))
    try:
        return scale.decode(data) if data else None
    except ValueError:
        return None


def write(hub: Hub, said: Scale) -> None:
    folders.replace(hub.own_path(FILE), scale.encode(said))


class Working(Struct, frozen=True):
    owner: Plain
    agents: int


def tell_working(hub: Hub, count: int) -> None:
    """Write down how many agents work in the run of this process, which says nothing once that has ended."""
    modes.write(hub.own_path(WORKING), dump(Working(owner.identity(), count)).decode())


def working(hub: Hub) -> int | None:
    """Return how many agents work in the run that goes on here; None if there is none."""
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        told = load(Working, folders.content(hub.own_path(WORKING)) or b"")
        return told.agents if owner.alive(told.owner) else None
    return None
