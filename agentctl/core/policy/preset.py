"""Filling a preset, the text that a policy begins with, with what a repository needs.

The comments of the preset stay, so the result is text that is edited and not a value that is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from agentctl.core.policy.policy import parse
from agentctl.core.policy.toolchains import Proposal
from agentctl.core.text import globs

OWN = "  - .agentctl/**\n"
REASON = """\
  # What the gate calls, as far as can be told: who may change it can make any change pass.
  # Take out what ordinary work has to change.
"""
ON_REMOTE = "# The hub is this remote: what is true there counts, and each clone is a station.\n"
SLOT = """\
slot:
  # Run once for each slot, and again when one of these files changed.
  setup: {setup}
  setup_on: {setup_on}
  # Untracked paths that survive from one run to the next.
  keep: {keep}
"""
AGENTS = """\
agents:
  # Run in each new worktree of an agent, and again when one of these files changed.
  setup: {setup}
  setup_on: {setup_on}
"""


def filled(text: str, source: str, trunk: str, proposal: Proposal, protect: Iterable[str] = (), remote: str = "") -> str:
    """Return the text of a preset with gates, set-up, trunk, the files to protect and the remote put in.

    Raises PolicyError, which names `source`, if the result is invalid.
    """
    *others, (_, gate) = proposal.gates
    text = text.replace("@GATE@", _word(gate))
    if others:
        text = text.replace("  - name: test\n", f"  - name: {proposal.gates[-1][0]}\n", 1)
        timeout = re.search(r"(?m)^    timeout: .*\n", text)
        more = "".join(f"  - name: {name}\n    run: {_word(run)}\n{timeout[0] if timeout else ''}" for name, run in others)
        text = text.replace("gates:\n", "gates:\n" + more, 1)
    words = {"setup": _word(proposal.setup), "setup_on": _list(proposal.setup_on), "keep": _list(proposal.keep)}
    if proposal.setup or proposal.keep:
        slot, there = SLOT.format(**words), re.search(r"(?m)^slot:\n(?: .*\n)*", text)
        text = text.replace(there[0], slot, 1) if there else text.replace("\nqueue:\n", f"\n{slot}\nqueue:\n", 1)
    if proposal.setup:
        text = text.replace("\nagents:\n", "\n" + AGENTS.format(**words), 1)
    if trunk != "main":
        text = text.replace("\ntrunk: main", "\ntrunk: " + json.dumps(trunk))
    if remote:
        text = re.sub("(?m)^(trunk: .*)$", lambda line: f"{line[0]}\n{ON_REMOTE}remote: {remote}", text, count=1)
    known = parse(text, source).protect
    new = [path for path in protect if not any(globs.matches(pattern, path) for pattern in known)]
    if new:
        text = text.replace(OWN, f"{OWN}{REASON}{''.join(f'  - {_word(path)}{chr(10)}' for path in new)}", 1)
    parse(text, source)
    return text


def _word(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _list(words: Iterable[str]) -> str:
    return f"[{', '.join(map(_word, words))}]"
