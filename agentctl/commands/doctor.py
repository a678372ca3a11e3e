"""agentctl doctor: what is wrong with the machine or the set-up, and how to mend it."""

from __future__ import annotations

import click

from agentctl.core.text.json_form import facts
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable
from agentctl.doctor import Patient, Symptom, examination
from agentctl.errors import Findings, NotFound
from agentctl.fleet import in_session
from agentctl.git import process
from agentctl.messages import quoted
from agentctl.terminal.parser import Given, as_command, given


@as_command("doctor", "agentctl doctor\nagentctl doctor --mend checkout\nagentctl doctor --agents\nagentctl doctor --json")
@click.option("--mend", "wanted", type=click.Choice(["all", *examination.MENDS]), help="Mend what this check finds.")
@click.option("--agents", is_flag=True, help="Have each installed agent program do a tiny task instead; that costs some tokens.")
@click.option("--adapter", "adapters", multiple=True, help="With --agents: only this one; may be repeated.")
@given
def command(given: Given, wanted: str | None, agents: bool, adapters: tuple[str, ...]) -> int:
    """Find what is wrong with machine and hub, and how to mend it.

    Looks at the policy and the programs it calls, the configuration, trunk's last verdict, its
    checkouts, what killed processes left behind, refs that are not of the protocol, the
    hub's own folder, locks and disk space. No gate is run, and without --mend nothing is changed.

    A mend loses nothing: files in the way are moved aside, edits become a commit on a branch, what
    a ref held is kept by another one. What only a person can decide comes with a note and no
    command. Exit status 9 if there is something to mend.
    """
    if agents or adapters:
        return _try_agents(given, adapters)
    where = "agentctl" if given.path == "." else f"agentctl -C {quoted(given.path)}"
    patient = Patient(given.here, where, look=lambda: given.hub)
    if wanted:
        in_session.refuse(given.here)
        names, done = [*examination.MENDS] if wanted == "all" else [wanted], 0
        for done, line in enumerate(examination.mend(patient, names), 1):
            given.say(printable(line, 4096))
            if given.json:
                given.emit({"mended": line})
        _tell(given, examination.left(patient, names))
        if not done:
            given.say("nothing to mend")
        return 0
    found = examination.examine(patient)
    if given.json:
        given.emit([facts(f) for f in found])
    _tell(given, found)
    version = ".".join(map(str, process.version()))
    given.say(f"Git {version}, trunk {given.trunk}, gates {', '.join(g.name for g in given.policy.gates)}: all well")
    return 0


def _try_agents(given: Given, wanted: tuple[str, ...]) -> int:
    """Try agent programs one after the other; return 0 if all went well, and raise Findings if not."""
    from agentctl.doctor import agents

    names = wanted or tuple(agents.installed())
    if not names:
        raise NotFound("no agent program is on the PATH", hint="agentctl help policy lists the adapters: agents.adapter")
    given.note(f"trying {', '.join(names)}: each is asked to create and commit one small file, which costs some tokens")
    failed = []
    for name in names:
        given.note(f"{name} ...")
        trial = agents.attempt(name, given.policy.agents)
        if given.json:
            given.emit(facts(trial))
        spent = f", {trial.spent}" if str(trial.spent) else ""
        given.say(f"{name}: {printable(trial.how, 1000)} ({trial.seconds:.0f} s{spent})", hang=4)
        if not trial.well:
            failed.append(name)
            given.say(f"    {trial.todo}")
    if failed:
        raise Findings(f"{', '.join(failed)} did not do it", hint=f"agentctl doctor --adapter {failed[0]}")
    return 0


def _tell(given: Given, found: list[Symptom]) -> None:
    """Print the findings, and raise Findings if there are any."""
    for finding in found:
        given.say(f"found: {printable(finding.what, 4096)}")
        for label, text in ((" mend: ", finding.mend), (" note: ", finding.note)):
            if text:
                given.say(f"{label}{text}")
    if found:
        raise Findings(many(len(found), "finding"), hint=found[0].mend or found[0].note)
