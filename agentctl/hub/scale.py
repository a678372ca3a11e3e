"""What `agentctl scale` said last: a file in the hub's own folder, since how many agents run here is this machine's affair."""

from __future__ import annotations

from agentctl.core.tasks import scale
from agentctl.core.tasks.scale import Scale
from agentctl.git import folders
from agentctl.git.repository import Hub

FILE = "scale.json"


def read(hub: Hub) -> Scale | None:
    """Return what was said last; None if nothing was, or if the file cannot be read."""
    data = folders.content(hub.own_path(FILE))
    try:
        return scale.decode(data) if data else None
    except ValueError:
        return None


def write(hub: Hub, said: Scale) -> None:
    folders.replace(hub.own_path(FILE), scale.encode(said))
