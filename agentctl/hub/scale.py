"""What `agentctl scale` said last: a file in the hub's own folder, since how many agents run here is this machine's affair."""

from __future__ import annotations

from agentctl.core.tasks import scale
from agentctl.core.tasks.scale import Scale
from agentctl.git import folders
from agentctl.git.repository import Hub
from agentctl.hub import process_file

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


def tell_working(hub: Hub, count: int) -> None:
    """Write down how many agents work in the run of this process."""
    process_file.write(hub.own_path(WORKING), count)


def working(hub: Hub) -> int | None:
    """Return how many agents work in the run that goes on here; None if there is none."""
    return process_file.read(hub.own_path(WORKING), int)
