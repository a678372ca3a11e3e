"""What keeps sessions that have ended from handing in, though the hub itself can be reached; told once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agentctl.core.notices import HubAway, Told
from agentctl.git.remote import Away, Declined


class HeldBack:
    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell
        self._told: dict[str, Away | Declined] = {}
        """What was told, by the remote's words; each session has refs of its own, and the words are the same."""

    def look(self, waiting: Iterable[Away | Declined]) -> list[str]:
        """Take what sessions wait for now, and return it, a line for each trouble.

        That the hub cannot be reached is left to whoever looks at it. What is declined is told once in a run, since each session
        gives up on it in its turn; anything else once each time that it begins.
        """
        found: dict[str, Away | Declined] = {str(error.values["said"]): error for error in waiting if type(error) is not Away}
        for said, error in found.items():
            if said not in self._told:
                self._tell(HubAway(_line(error)))
        for_good = {said: error for said, error in self._told.items() if isinstance(error, Declined)}
        self._told = {**for_good, **found}
        return [_line(error) for error in found.values()]


def _line(error: Away | Declined) -> str:
    return f"a session waits to hand in: {error.message}"
