"""Running the gate on a tree that perhaps no slot can hold: a name that the file system does not
take, a link that Git does not write. That is the fault of the tree, if the same slot holds another."""

from __future__ import annotations

import time

from agentctl.core.model import Verdict
from agentctl.core.policy import Policy, fingerprint
from agentctl.git.hub import Hub
from agentctl.queue import gate
from agentctl.queue.faults import is_ours, told
from agentctl.queue.verdicts import Judgement

SLOT = "slot"
"""The step before all others, in which a slot gets the files of a commit."""


def judge(hub: Hub, policy: Policy, runs: gate.Runs, commit: str, known: frozenset[str], base: str) -> Judgement:
    """As `gate.judge`. Raises what the machine does to us."""
    begun = time.time()
    try:
        return gate.judge(hub, policy, runs, commit, known, base)
    except Exception as error:
        if not is_ours(error) or commit == base:
            raise
        with gate.slot(hub) as place:
            gate.check_out(place, policy, base)
        return Judgement(
            Verdict.FAILED, hub.objects.commit(commit).tree, commit, fingerprint(policy), round(time.time() - begun, 3),
            begun, step=SLOT, why=f"{SLOT}: its files cannot be laid out, and those of {base[:12]} can", log=told(error))
