"""A JUnit report of what was tested and of what became of each change."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from agentctl.core.notices import Told
from agentctl.core.queue.model import Probe
from agentctl.core.queue.records import Landed, Rejected
from agentctl.core.text.printable import uncoloured, visible
from agentctl.errors import UsageError
from agentctl.git.repository import Hub
from agentctl.hub import outbox
from agentctl.hub.verdicts import Judgement


class JUnit:
    def __init__(self, hub: Hub, path: str) -> None:
        """Raise UsageError now for a file that could not be written in the end."""
        self.hub, self.path = hub, path
        self._ended: list[tuple[Landed | Rejected, str]] = []
        """Each landed or rejected change, with the output that a rejection has as evidence."""
        try:
            open(path, "a").close()
        except OSError as error:
            raise UsageError(f"--junit {path}: {error.strerror}") from None

    def tell(self, event: Told) -> None:
        if isinstance(event, Landed):
            self._ended.append((event, ""))
        elif isinstance(event, Rejected):
            answer = outbox.read(self.hub, event)
            self._ended.append((event, (answer.log or answer.conflict) if answer else ""))

    def write(self, judged: Sequence[tuple[Probe, Judgement]]) -> None:
        """Write one test case for each gate run, and one for each change that landed or was rejected."""
        root = ElementTree.Element("testsuites", name="agentctl")
        probes = ElementTree.SubElement(root, "testsuite", name="probes", tests=str(len(judged)))
        for probe, judgement in judged:
            case = ElementTree.SubElement(
                probes,
                "testcase",
                classname="probe",
                name=f"probe {probe.number}: " + (", ".join(probe.chain) or "trunk"),
                time=f"{judgement.seconds:.3f}",
            )
            ElementTree.SubElement(case, "system-out").text = _xml(f"{probe.reason}\n{judgement.verdict} {judgement.why}")
        failures = sum(isinstance(record, Rejected) for record, _ in self._ended)
        changes = ElementTree.SubElement(root, "testsuite", name="changes", tests=str(len(self._ended)), failures=str(failures))
        for record, log in sorted(self._ended, key=lambda ended: ended[0].at):
            case = ElementTree.SubElement(
                changes,
                "testcase",
                classname=record.change.agent,
                name=record.key,
                time=f"{record.at - record.change.admitted:.3f}",
            )
            if isinstance(record, Rejected):
                ElementTree.SubElement(case, "failure", message=_xml(record.why), type=record.reason.kind).text = _xml(
                    log or record.why
                )
        ElementTree.indent(root)
        ElementTree.ElementTree(root).write(self.path, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    """Return the text as a terminal would show it, but with a question mark for what XML cannot hold."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "?"
        for c in visible(uncoloured(text))
    )
