"""What a forge shows of a job: where a rejection stands, and that nothing in it is taken for a command or for markup."""

import json

import pytest

from agentctl.core.queue.model import Change
from agentctl.core.queue.records import GateFailed, Landed, Passed, Proof, Rejected, Work
from agentctl.terminal import forge
from agentctl.terminal.forge import Fate, Place

OID = "a" * 40


def change(name="fix"):
    return Change(name, 1, OID, "ann", 1, 1.0)


def rejected(why="the gate failed", log="", paths=("src/one.py", "src/two.py"), name="fix"):
    reason = GateFailed(1, (f"{name}/1",), "gate", OID, OID)
    return Fate(Rejected(change=change(name), at=2.0, work=Work(OID, "", paths), said=why, reason=reason), log)


def landed(name="good"):
    proof = Proof(1, OID, OID, Passed(OID, OID, 1.0, OID))
    return Fate(Landed(change=change(name), at=2.0, work=Work(OID), commit=OID, proof=proof))


@pytest.mark.parametrize(
    ("log", "place"),
    [
        ("src/two.py:12: AssertionError\n", Place("src/two.py", 12)),
        ("E   src/two.py:3: error: no\n", Place("src/two.py", 3)),
        ("./src/two.py:7:3: F401 unused\n", Place("src/two.py", 7)),
        ('  File "src/two.py", line 9, in f\n', Place("src/two.py", 9)),
        ("  --> src/two.py:4:5\n", Place("src/two.py", 4)),
        ("\x1b[31msrc/two.py\x1b[0m:12: AssertionError\n", Place("src/two.py", 12)),
        # A file that the change does not touch is where it shows, not where it is at fault.
        ("tests/test_one.py:12: AssertionError\n", Place("src/one.py")),
        ("src/two.py:99999999999: no line\n", Place("src/one.py")),
        ("nothing that names a place\n", Place("src/one.py")),
    ],
)
def test_where_a_rejection_stands(log, place):
    assert rejected(log=log).place == place


def test_a_change_without_files_stands_nowhere():
    assert rejected(paths=()).place is None
    assert forge.annotation(rejected(paths=())) == "::error title=fix/1 was rejected::the gate failed"


def test_an_annotation_is_one_line_whatever_it_says():
    shown = forge.annotation(rejected("50% worse\n::set-env name=X::y\r", paths=("a,b:c.py",)))
    assert "\n" not in shown and "\r" not in shown
    assert shown.startswith("::error title=fix/1 was rejected,file=a%2Cb%3Ac.py,line=1::50%25 worse")


def test_failing_tests_are_named():
    log = "".join(f"FAILED tests/test_a.py::test_{n} - AssertionError\n" for n in range(7))
    assert "failing: tests/test_a.py::test_0" in rejected(log=log).message
    assert "and 2 more" in rejected(log=log).message


def test_the_code_quality_report_has_the_rejections():
    found = json.loads(forge.code_quality([landed(), rejected(log="src/two.py:12: no\n"), rejected(paths=(), name="none")]))
    assert [(one["location"]["path"], one["location"]["lines"]["begin"]) for one in found] == [
        ("src/two.py", 12),
        (".agentctl/policy.yaml", 1),
    ]
    assert len({one["fingerprint"] for one in found}) == 2
    assert {one["check_name"] for one in found} == {"agentctl/gate"}


def test_the_summary_is_a_table_in_which_nothing_is_markup():
    shown = forge.summary([landed(), rejected("<img src=x> | `a` [b](c) @team\n# head")], 2, "paused by ann")
    assert shown.startswith("### agentctl: 1 change landed, 1 rejected, 2 queued still\n\npaused by ann\n\n| change | by | |\n")
    row = next(line for line in shown.splitlines() if "rejected**" in line)
    assert row.startswith("| fix\\/1 | ann | **rejected**: ")
    assert "\\<img src=x\\> \\| \\`a\\` \\[b\\]\\(c\\) \\@team" in row
    assert forge.summary([], 0) == "### agentctl: 0 changes landed, 0 rejected, 0 queued still\n\n"
