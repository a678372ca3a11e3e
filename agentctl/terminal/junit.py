"""A JUnit report of what was tested and of what became of each change."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from agentctl.core.queue.events import Probed
from agentctl.core.queue.records import Rejected
from agentctl.core.text.printable import uncoloured, visible
from agentctl.terminal.forge import Fate


def junit(path: str, fates: Sequence[Fate], probed: Sequence[Probed]) -> None:
    """Write one test case for each gate run, and one for each change that landed or was rejected."""
    root = ElementTree.Element("testsuites", name="agentctl")
    probes = ElementTree.SubElement(root, "testsuite", name="probes", tests=str(len(probed)))
    for ended in probed:
        probe = ended.probe
        case = ElementTree.SubElement(
            probes,
            "testcase",
            classname="probe",
            name=f"probe {probe.number}: " + (", ".join(probe.chain) or "trunk"),
            time=f"{ended.seconds:.3f}",
        )
        ElementTree.SubElement(case, "system-out").text = _xml(f"{probe.reason}\n{ended.verdict} {ended.why}")
    failures = sum(isinstance(fate.record, Rejected) for fate in fates)
    changes = ElementTree.SubElement(root, "testsuite", name="changes", tests=str(len(fates)), failures=str(failures))
    for fate in sorted(fates, key=lambda fate: fate.record.at):
        record = fate.record
        case = ElementTree.SubElement(
            changes, "testcase", classname=record.change.agent, name=record.key, time=f"{record.at - record.change.admitted:.3f}"
        )
        if isinstance(record, Rejected):
            failure = ElementTree.SubElement(case, "failure", message=_xml(record.why), type=record.reason.kind)
            failure.text = _xml(fate.log or record.why)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    """Return the text as a terminal would show it, but with a question mark for what XML cannot hold."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "?"
        for c in visible(uncoloured(text))
    )
