"""What a forge shows of a job beside its log: annotations at lines of files, a code-quality report, a summary in Markdown.

Formats: GitHub's workflow commands, GitLab's code-quality report (a list of Code Climate's issues), and Markdown as both show it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentctl.core.queue.records import Landed, Rejected
from agentctl.core.tasks import failing_tests
from agentctl.core.text.plural import many
from agentctl.core.text.printable import one_line, printable, uncoloured

LONGEST = 300
"""The most characters of a message."""
_PLACES = (
    re.compile(r"^(?:E +)?\.?/?([\w@+~-][\w./@+~ -]*?):(\d+)(?::\d+)?: ", re.MULTILINE),  # compilers, pytest, linters
    re.compile(r'^ *File "\.?/?([^"\n]+)", line (\d+)', re.MULTILINE),  # Python's tracebacks
    re.compile(r"^ *--> \.?/?([\w./-]+):(\d+):\d+", re.MULTILINE),  # rustc
)


@dataclass(frozen=True, slots=True)
class Place:
    path: str
    line: int = 1


@dataclass(frozen=True, slots=True)
class Fate:
    """How a change ended, with the output that is the evidence of a rejection."""

    record: Landed | Rejected
    log: str = ""

    @property
    def place(self) -> Place | None:
        """Where a rejected change is at fault, as far as the output tells: in a file that it touches, if it names one."""
        paths = self.record.work.places if self.record.work else ()
        named = [Place(m[1], int(m[2])) for p in _PLACES for m in p.finditer(uncoloured(self.log)) if 0 < int(m[2]) < 10**7]
        own = [place for place in named if place.path in paths]
        return next(iter(own or [Place(path) for path in paths[:1]]), None)

    @property
    def message(self) -> str:
        tests = failing_tests.names(self.log)
        more = f"; failing: {', '.join(tests[:5])}{f' and {len(tests) - 5} more' if len(tests) > 5 else ''}" if tests else ""
        return printable(one_line(self.record.why + more), LONGEST)


def annotation(fate: Fate) -> str:
    """Return the workflow command by which GitHub shows a rejection at its place."""
    place = fate.place
    fields = {"title": f"{fate.record.key} was rejected", **({"file": place.path, "line": str(place.line)} if place else {})}
    return f"::error {','.join(f'{key}={_field(value)}' for key, value in fields.items())}::{_data(fate.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _field(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def code_quality(fates: Iterable[Fate]) -> str:
    """Return the rejections as a code-quality report; one without a place stands at the policy."""
    return json.dumps(
        [
            {
                "description": f"{fate.record.key} was rejected: {fate.message}",
                "check_name": f"agentctl/{fate.record.reason.kind}",
                "fingerprint": hashlib.sha256(fate.record.key.encode()).hexdigest(),
                "severity": "major",
                "location": {"path": place.path, "lines": {"begin": place.line}},
            }
            for fate in fates
            if isinstance(fate.record, Rejected)
            for place in [fate.place or Place(".agentctl/policy.yaml")]
        ],
        indent=1,
    )


def summary(fates: Sequence[Fate], queued: int, why: str = "") -> str:
    """Return what a job did as Markdown; `why` is why something is queued still."""
    landed = [fate for fate in fates if isinstance(fate.record, Landed)]
    rejected = [fate for fate in fates if isinstance(fate.record, Rejected)]
    lines = [f"### agentctl: {many(len(landed), 'change')} landed, {len(rejected)} rejected, {queued} queued still", ""]
    if why:
        lines += [_cell(why), ""]
    if fates:
        lines += ["| change | by | |", "|---|---|---|"]
    for fate in [*rejected, *landed]:
        record = fate.record
        how = f"landed as `{record.commit[:12]}`" if isinstance(record, Landed) else f"**rejected**: {_cell(fate.message)}"
        lines.append(f"| {_cell(record.key)} | {_cell(record.change.agent)} | {how} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return the text so that Markdown shows it as it is, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~@&:/$-])", r"\\\1", printable(text))
