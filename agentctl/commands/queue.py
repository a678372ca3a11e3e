"""agentctl queue: what is in the queue, and what is being tested."""

from __future__ import annotations

from dataclasses import asdict

import click

from agentctl.commands.parser import Given, command, given
from agentctl.core.printable import printable
from agentctl.messages import ago
from agentctl.queue import standing
from agentctl.queue.ledger import Ledger


@command("queue", "agentctl queue\nagentctl queue --all\nagentctl queue --json")
@click.option("-a", "--all", "everything", is_flag=True, help="What has ended too.")
@given
def command(given: Given, everything: bool) -> int:
    """List the changes that are queued, and the probes that run."""
    hub = given.hub
    waiting = [r for r in standing.requests(hub) if not r.withdraws]
    ledger = Ledger.read(hub)
    state = ledger.state()
    ended = sorted(ledger.ended(), key=lambda r: r.ended) if everything else []
    if given.json:
        given.emit({
            "waiting": [r.key for r in waiting], "queued": [asdict(r) for r in state.queue.values()],
            "probes": [asdict(p) for p in state.probes], "ended": [asdict(r) for r in ended]})
        return 0
    for record in ended:
        given.say(f"{record.stage:<10} {record.key:<30} {record.change.agent:<12} {printable(record.why or record.subject)}")
    tested = {key: p for p in state.probes for key in p.probe.asked}
    for key, record in state.queue.items():
        probe = tested.get(key)
        doing = f"in probe {probe.probe.number} for {ago(probe.started)}" if probe else "queued"
        given.say(f"{doing:<22} {key:<30} {record.change.agent:<12} {printable(record.subject)}")
    for request in waiting:
        given.say(f"{'not admitted yet':<22} {request.key:<30} {request.agent}")
    for staged in state.probes:
        given.say(f"probe {staged.probe.number}: {len(staged.probe.chain)} changes, {ago(staged.started)}: "
                  f"{staged.probe.reason}")
    if not (state.queue or waiting or ended):
        given.say("the queue is empty" if state.trunk else "the queue is empty; no bot has run here yet")
    elif (state.queue or waiting) and not _bot(given):
        given.say("hint: no bot runs: agentctl bot run")
    return 0


def _bot(given: Given) -> dict | None:
    from agentctl.engine.locks import holder

    return holder(given.hub.own_path("locks", "bot.lock"))
