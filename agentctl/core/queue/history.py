"""What the events of a ledger tell about one submission."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.core.queue import events, ledger_format_v1
from agentctl.core.queue.events import Recorded
from agentctl.core.queue.records import Ended
from agentctl.core.queue.sentences import told

Event = Recorded | ledger_format_v1.Line


def about(key: str, turns: Iterable[tuple[float, Iterable[Event]]]) -> list[tuple[float, str]]:
    """Return (when, in words) for each event that tells about the submission or about a probe of it.

    The turns are given and returned from the oldest on.
    """
    probes: set[int] = set()
    found: list[tuple[float, str]] = []
    for when, happened in turns:
        for event in happened:
            if _names(event, key, probes) and (line := told(event)):
                found.append((when, line))
    return found


def _names(event: Event, key: str, probes: set[int]) -> bool:
    """Tell whether the event is about the submission. Also add the numbers of its probes to `probes`."""
    match event:
        case events.ProbeBegun(staged=staged):
            probes |= {staged.probe.number} if key in staged.probe.chain else set()
            return key in staged.probe.chain
        case events.Probed(probe=probe):
            return probe.number in probes
        case events.Cancelled(number=number) | events.Follows(number=number):
            return number in probes
        case events.LandingBegun(landing=landing):
            return any(key == other for other, _ in landing.staged.landing)
        case events.Clash(pairs=pairs):
            return any(key in pair for pair in pairs)
        case events.Admitted(queued=queued):
            return queued.key == key
        case Ended() | events.Bumped() | events.Approved() | events.NotAdmitted():
            return event.key == key
        case ledger_format_v1.Line():
            named = key in event.words
            probes |= {event.begun} if named and event.begun else set()
            return named or event.of_probe in probes
    return False
