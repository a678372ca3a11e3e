"""Checks of the set-up: configuration, policy, and the programs that it calls.

What a gate said is read; no gate is run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from agentctl.core import refnames
from agentctl.core.policy.policy import fingerprint, in_parts, parts
from agentctl.core.queue.events import Probed
from agentctl.core.queue.model import Verdict
from agentctl.core.tasks.failure import NATURE, Kind
from agentctl.core.text.plural import many
from agentctl.doctor import Check, Patient, Symptom
from agentctl.errors import AgentctlError
from agentctl.fleet import adapters
from agentctl.gate import judging
from agentctl.git import process
from agentctl.git.objects import EMPTY_TREE, TREE
from agentctl.git.repository import POLICY_PATH
from agentctl.git.station import SEEN
from agentctl.hub import hindrance, policy_file, status, tasks, verdicts
from agentctl.hub.ledger import Ledger
from agentctl.hub.verdicts import Judgement
from agentctl.messages import quoted

_FIRST_WORD = re.compile(r"\s*(?:\w+=[^\s'\"$`]*\s+)*([\w./+-]+)(?=\s|$)")
_FILTER = re.compile(r"(?:^|\s)filter=(\S+)")


def _bare(patient: Patient) -> Iterator[Symptom]:
    """Find a repository that is said to be bare and has a checkout.

    A repository with an index has a checkout. A bare one has none, not even if there are worktrees around it.
    """
    hub = patient.hub
    if (
        hub.config("core.bare") == "true"
        and os.path.basename(hub.git_dir) == ".git"
        and os.path.exists(os.path.join(hub.git_dir, "index"))
    ):
        yield Symptom(
            f"core.bare is set, and {os.path.dirname(hub.git_dir)} has a checkout, which nobody brings along",
            f"git --git-dir={quoted(hub.git_dir)} config core.bare false",
        )


def _trunk(patient: Patient) -> Iterator[Symptom]:
    """Compare `git config agentctl.trunk`, which the hooks use, with trunk."""
    named = patient.hub.config("agentctl.trunk")
    if named and patient.tip and named != patient.trunk:
        there = "which is not trunk" if patient.hub.refs.get(refnames.branch(named)) else "and there is no such branch"
        yield Symptom(
            f"agentctl.trunk names {named!r}, {there}: trunk is {patient.trunk}",
            f"git --git-dir={quoted(patient.hub.git_dir)} config agentctl.trunk {quoted(patient.trunk)}",
        )


def _policy(patient: Patient) -> Iterator[Symptom]:
    try:
        policy_file.in_force(patient.hub)
    except AgentctlError as error:
        yield Symptom(error.message, str(error.values.get("mend", "")), "" if error.values.get("mend") else error.hint)


def _programs(patient: Patient) -> Iterator[Symptom]:
    hub, policy = patient.hub, patient.policy
    tree = hub.objects.commit(patient.tip).tree
    steps = [(f"gates.{g.name}.run", g.run, g.env) for g in policy.gates]
    made = policy.slot.setup or policy.agents.setup
    for key, line, env in [
        *steps,
        ("slot.setup", policy.slot.setup, {}),
        ("agents.setup", policy.agents.setup, policy.agents.env),
    ]:
        found = _FIRST_WORD.match(line)
        word = found.group(1) if found else ""
        # The program at a relative path may be made by a setup.
        if (
            word
            and not _is_command(word, env)
            and not hub.objects.at(tree, os.path.normpath(word))
            and not (made and not key.endswith("setup") and "/" in word)
        ):
            yield Symptom(f"{key} calls {word}, which is not on the PATH", note=f"install it, or edit {key} in {POLICY_PATH}")


def _is_command(word: str, env: dict[str, str]) -> bool:
    return (
        subprocess.run(
            ["/bin/sh", "-c", 'command -v -- "$1"', "sh", word], cwd="/", env=os.environ | dict(env), capture_output=True
        ).returncode
        == 0
    )


def _globs(patient: Patient) -> Iterator[Symptom]:
    """Find globs that somebody wrote as names of directories, and gates that judge no file."""
    hub, policy = patient.hub, patient.policy
    tree = hub.objects.commit(patient.tip).tree
    listed = [(f"gates.{g.name}.paths", g.paths) for g in policy.gates]
    approved = [(f"approvals[{i}].paths", rule.paths) for i, rule in enumerate(policy.approvals)]
    for key, patterns in [
        *listed,
        ("slot.setup_on", policy.slot.setup_on),
        ("agents.setup_on", policy.agents.setup_on),
        ("protect", policy.protect),
        *approved,
    ]:
        for pattern in patterns:
            entry = hub.objects.at(tree, pattern)
            if entry and entry[0] == TREE:
                yield Symptom(
                    f"{key} names the directory {pattern}, and so nothing in it",
                    note=f"write {pattern}/** there, in {POLICY_PATH}",
                )
    for key, patterns in listed:
        if patterns and hub.objects.part(tree, patterns) == EMPTY_TREE:
            yield Symptom(f"{key} matches no file of trunk: the gate does not run", note=f"edit {key} in {POLICY_PATH}")


def _adapter(patient: Patient) -> Iterator[Symptom]:
    agents, tree = patient.policy.agents, patient.hub.objects.commit(patient.tip).tree
    mine = tuple(agents.command)
    try:
        if mine or agents.adapter != "command":
            adapters.command(agents.adapter, mine, lambda path: patient.hub.objects.at(tree, os.path.normpath(path)) is not None)
    except AgentctlError as error:
        yield Symptom(error.message, note=error.hint)


def _filters(patient: Patient) -> Iterator[Symptom]:
    """Find filters that the tree asks for and that the user's and the system's configuration lack.

    Without its filter a file comes out as it is stored, such as a pointer of Git LFS.
    """
    hub = patient.hub
    for name in sorted(_asked_for(patient)):
        scopes = {
            line.split("\t")[0]
            for line in process.as_user(
                ["config", "--show-scope", "--get-regexp", rf"^filter\.{re.escape(name)}\.(clean|smudge|process)$"],
                cwd=hub.top or hub.git_dir,
                ok=(0, 1),
            ).splitlines()
        }
        if scopes & {"global", "system"}:
            continue
        lfs = f"git{' lfs install --skip-repo'}" if name == "lfs" and shutil.which("git-lfs") else ""
        key = quoted(f"filter.{name}.clean")
        if scopes:
            yield Symptom(
                f".gitattributes names the filter {name}, configured in this repository alone, where agents could write",
                lfs,
                f'gates and agents do without it; to trust it: git config --global {key} "$(git config {key})"',
            )
        else:
            yield Symptom(
                f".gitattributes names the filter {name}, which is configured nowhere",
                lfs,
                ""
                if lfs
                else "install Git LFS, then: git lfs install"
                if name == "lfs"
                else f"git config --global {key} COMMAND, and the same for smudge",
            )


def _asked_for(patient: Patient) -> set[str]:
    objects = patient.hub.objects
    found: set[str] = set()
    for path, oid in objects.walk(objects.commit(patient.tip).tree):
        if os.path.basename(path) == ".gitattributes":
            lines = objects.blob(oid).decode(errors="replace").splitlines()
            found.update(name for line in lines if not line.startswith("#") for name in _FILTER.findall(line))
    return found


def _red(patient: Patient) -> Iterator[Symptom]:
    failed = [known for ours, tree in _judged(patient) if (known := _last(patient, ours, tree))]
    for known in failed:
        yield Symptom(
            f"trunk is red: {known.why or known.step} at {known.commit[:12]}",
            note="submit a change that mends it: agentctl submit --mends-trunk; or undo what broke it: agentctl revert CHANGE, or "
            "git revert COMMIT on trunk for what was put there around the queue",
        )


def _judged(patient: Patient) -> list[tuple[str, str]]:
    """Return (fingerprint, tree) of all that trunk's gates judge."""
    objects, policy = patient.hub.objects, patient.policy
    tree = objects.commit(patient.tip).tree
    if in_parts(policy):
        return [(part.fingerprint, objects.part(tree, part.paths)) for part in parts(policy)]
    return [(fingerprint(policy), tree)]


def _last(patient: Patient, ours: str, tree: str) -> Judgement | None:
    """Return the last verdict if it is a failure, else None."""
    failed = verdicts.lookup(patient.hub, ours, tree, Verdict.FAILED)
    passed = verdicts.lookup(patient.hub, ours, tree, Verdict.PASSED)
    return failed if failed and (not passed or passed.at < failed.at) else None


def _last_run(patient: Patient) -> Probed | None:
    """Return how the last gate run ended; None if no gate has anything to judge now, so that no run would tell more."""
    ledger = Ledger.read(patient.hub)
    proven = all(verdicts.lookup(patient.hub, ours, tree, Verdict.PASSED) for ours, tree in _judged(patient))
    return None if proven and not ledger.state().queue else status.last_run(ledger)


def _unclear(patient: Patient) -> Iterator[Symptom]:
    """Find out whether the last gate run came past its setup and gave no verdict."""
    last = _last_run(patient)
    if last and last.verdict is Verdict.INDETERMINATE and last.step != judging.SETUP:
        yield Symptom(
            f"the last gate run gave no verdict: {last.why}",
            note=f"no change is blamed for it; mend it, then: {patient.agentctl} bot run",
        )


def _last_setup(patient: Patient) -> Iterator[Symptom]:
    """Find out whether the last gate run and the last session failed in their setup."""
    hub, last = patient.hub, _last_run(patient)
    if last and last.step == judging.SETUP:
        yield Symptom(
            f"the last gate run did not come past its setup: {last.why}",
            note=f"see it fail: agentctl test; then mend slot.setup in {POLICY_PATH}, or what it needs",
        )
    sessions = [(session, task.id) for task in tasks.listed(hub).values() for session in task.sessions]
    if sessions:
        session, task = max(sessions, key=lambda item: item[0].ended)
        if session.failure and session.failure.kind == Kind.SETUP:
            yield Symptom(
                f"the last session did not come past its setup: {session.note}",
                note=f"agentctl logs {session.agent}; then mend agents.setup in {POLICY_PATH}, and: agentctl task open {task}",
            )


def _published(patient: Patient) -> Iterator[Symptom]:
    """Find out whether trunk is published as the policy says, once a bot has worked here."""
    hub, remote = patient.hub, patient.policy.publish
    if not remote or hub.station or not Ledger.read(hub).trunk():
        return
    there = hub.here.get(f"{SEEN}heads/{patient.trunk}")
    if there == patient.tip or there and not hub.holds(patient.tip, there):
        return
    count = int(hub.git("rev-list", "--count", "--first-parent", patient.tip, *([f"^{there}"] if there else [])))
    yield Symptom(
        f"{many(count, 'commit')} of trunk {'is' if count == 1 else 'are'} not published at {remote}"
        if there
        else f"trunk was never published at {remote} ({many(count, 'commit')})",
        note=f"{patient.agentctl} bot run --once pushes {'them' if there else 'it'}, or says why that does not succeed",
    )


def _held(patient: Patient) -> Iterator[Symptom]:
    """Find out what holds up the bot and the fleet that run here."""
    for line in hindrance.read(patient.hub):
        todo = next((nature.todo for nature in NATURE.values() if not nature.mends and nature.todo in line), "")
        note = f"{todo}; then it goes on by itself" if todo else "it goes on by itself when that is over"
        yield Symptom(f"what runs here is held up: {line}", note=note)


CONFIG = (Check("bare", _bare),)
POLICY = (Check("policy", _policy),)
CHECKS = (
    Check("trunk", _trunk),
    Check("programs", _programs),
    Check("globs", _globs),
    Check("adapter", _adapter),
    Check("filters", _filters),
    Check("red", _red),
    Check("verdict", _unclear),
    Check("setup", _last_setup),
    Check("published", _published),
    Check("held", _held),
)
"""The checks that need trunk and its policy."""
