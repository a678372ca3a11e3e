"""The words for an event, for the ledger's messages, `why` and whoever watches.

`core.notices` has the words for what is only told. Nothing reads the words back.
"""

from __future__ import annotations

from agentctl.core.queue import events, ledger_format_v1
from agentctl.core.queue.events import Recorded
from agentctl.core.queue.records import Ended, Landed
from agentctl.core.text.plural import many
from agentctl.core.text.printable import one_line


def told(event: Recorded | ledger_format_v1.Line) -> str:
    """Return one line about the event; empty if it is of no interest by itself."""
    return one_line(_told(event))


def _told(event: Recorded | ledger_format_v1.Line) -> str:
    match event:
        case ledger_format_v1.Line(text=text):
            return text
        case Landed(key=key, commit=commit):
            return f"landed {key} as {commit[:12]}"
        case Ended(stage=stage, key=key, why=why):
            return f"{stage} {key}: {why}"
        case events.Admitted(queued=queued):
            return f"admit {queued.key} from {queued.change.agent}: {queued.subject}"
        case events.Bumped(key=key, priority=priority):
            return f"bump {key} to priority {priority}"
        case events.Approved(key=key, approval=approval):
            return f"{approval.by} approves {key}"
        case events.NotAdmitted(key=key, agent=agent, why=why):
            return f"refuse {key} of {agent}: {why}"
        case events.PassedOver(ref=ref, why=why):
            return f"pass over {ref}: {why}"
    return _of_probe(event) or _of_trunk(event)


def _of_probe(event: Recorded) -> str:
    match event:
        case events.ProbeBegun(staged=staged):
            probe = staged.probe
            return f"probe {probe.number} of {', '.join(probe.chain) or 'trunk itself'}: {probe.reason}"
        case events.Probed(probe=probe, verdict=verdict, why=why):
            return f"probe {probe.number} {verdict}{': ' + why if why else ''}"
        case events.Cancelled(number=number, why=why):
            return f"cancel probe {number}: {why}"
        case events.Follows(number=number, base=base):
            return f"probe {number} holds on {base[:12]} too: each gate passed on its paths"
        case events.Clash(pairs=pairs):
            return "; ".join(f"{one} does not merge with {other}: one of them lands first" for one, other in pairs)
        case events.CutOff(probes=probes):
            return f"{many(len(probes), 'probe')} cut off"
        case events.Replanned(why=why):
            return f"{why}; planning begins anew"
    return ""


def _of_trunk(event: Recorded) -> str:
    match event:
        case events.LandingBegun(landing=landing, why=why):
            return f"land {many(len(landing.staged.landing), 'change')} as {landing.staged.commit}: {why}"
        case events.LandingDropped(why=why):
            return f"{why}; what was about to land is tested anew"
        case events.Begun(trunk=trunk):
            return f"begin at {trunk}"
        case events.Adopted(kept=None):
            return adoption(event)
        case events.Adopted(new=new, old=old, kept=kept):
            return f"adopt {new} for {old}: a person takes it for trunk; what it was is kept as {kept or 'nothing'}"
        case events.Moved(how=how, ways=ways, kept=kept, old=old):
            return f"{how}; nothing lands until: {ways}; {old[:12]} is kept as {kept}"
        case events.PutBack(how=how):
            return f"{how}; it is put back"
        case events.Paused(said=said, effect=effect):
            return f"the queue is {said}; {effect}"
        case events.Resumed():
            return "the queue is resumed"
    return ""


def adoption(event: events.Adopted) -> str:
    return f"trunk was moved from {event.old[:12]} to {event.new[:12]} by somebody else{event.who}"
