"""Run the suite and print what it counted: python -m tests.hostile [options of pytest]."""

import sys
from collections import Counter
from pathlib import Path

import pytest

COLUMNS = ("set-ups", "plain Git executes, loses or hides", "skipped", "agentctl does")


class Table:
    """Counts set-ups by kind."""

    def __init__(self):
        self.counts = {}

    def pytest_runtest_logreport(self, report):
        facts = dict(report.user_properties)
        if "kind" not in facts or report.when != "call" and not report.failed:
            return
        counts = self.counts.setdefault(facts["kind"], Counter())
        counts["set-ups"] += report.when == "call"
        counts["skipped"] += report.skipped
        counts["plain Git executes, loses or hides"] += report.when == "call" and "control" in facts
        counts["agentctl does"] += report.failed

    def pytest_terminal_summary(self, terminalreporter):
        wide = max(map(len, [*self.counts, "all"]), default=0)
        terminalreporter.write_line("  ".join(["", f"{'kind':{wide}}", *COLUMNS]))
        whole = sum(self.counts.values(), Counter())
        for kind, counts in [*self.counts.items(), ("all", whole)]:
            terminalreporter.write_line("  ".join(["", f"{kind:{wide}}", *(f"{counts[name]:{len(name)}}" for name in COLUMNS)]))


if __name__ == "__main__":
    sys.exit(pytest.main([str(Path(__file__).parent), *sys.argv[1:]], plugins=[Table()]))
