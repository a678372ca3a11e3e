"""A gate sees the tree that it is to judge and those very bytes, whatever the gate before it left in its slot."""

from __future__ import annotations

import pytest

from tests.hostile.setups import RESET
from tests.hostile.slots import Left, sees_what_lands

KIND = "what a gate leaves in its slot"

BY_SHELL = 'git ls-tree -r --name-only $GOOD | while read -r path; do git show "$GOOD:$path" >"$path"; done'


IN_A_SLOT = (
    Left(
        "other bytes with old dates",
        """
        git config core.trustctime false; git config core.checkStat minimal; touch -d '2 days ago' src/one.txt
        git update-index --refresh; cp -p src/one.txt "$KEPT/date"; printf 'eno\\n' >src/one.txt; touch -r "$KEPT/date" src/one.txt
        """,
        RESET,
    ),
    Left(
        "a monitor that sees no change",
        """
        printf '#!/bin/sh\\nprintf "token\\\\0"\\n' >"$KEPT/monitor"; chmod +x "$KEPT/monitor"; git config core.fsmonitor "$KEPT/monitor"
        git status; git status; echo other >src/one.txt""",
        RESET,
    ),
    Left(
        "assume-unchanged",
        "git update-index --assume-unchanged src/one.txt; echo other >src/one.txt",
        "git checkout -q $GOOD; git clean -qffdx",
    ),
    Left("skip-worktree", "git update-index --skip-worktree src/one.txt; echo other >src/one.txt", RESET),
    Left("a sparse checkout", "git sparse-checkout set docs", RESET),
    # Not refreshed, the index shows a change whenever a second begins between the clone and the chmod.
    Left(
        "permissions that are not looked at",
        "git config core.fileMode false; chmod +x src/one.txt; git update-index -q --refresh",
        RESET,
    ),
    Left(
        "a smudge filter",
        """
        echo '*.txt filter=evil' >.git/info/attributes; git config filter.evil.smudge 'sed s/changed/CHANGED/'""",
        RESET,
    ),
    Left("line endings by configuration", "git config core.autocrlf true", RESET),
    Left("line endings by attributes", "mkdir -p .git/info; echo '*.txt text eol=crlf' >.git/info/attributes", RESET),
    Left(
        "a replaced object",
        """
        git replace -f $(echo changed | git hash-object -w --stdin) $(echo CHANGED | git hash-object -w --stdin)""",
        RESET,
    ),
    Left("an index of garbage, and a lock", "printf garbage >.git/index; touch .git/index.lock", RESET),
    Left("no .git", "rm -rf .git", RESET),
    Left("another's Git directory", 'git init -q "$place/other"; rm -rf .git; echo "gitdir: $place/other/.git" >.git', RESET),
    Left("files somewhere else by configuration", 'git config core.worktree "$victim"', RESET),
    Left("a repository inside", "git init -q litter; echo litter >litter/file", "git reset -q --hard $GOOD; git clean -qfdx"),
    Left(
        "litter that it hides",
        "mkdir -p .git/info; echo conftest.py >.git/info/exclude; echo litter >conftest.py",
        "git reset -q --hard $GOOD; git clean -qffd",
    ),
    Left("litter that is ignored", "mkdir -p build; echo litter >build/file", "git reset -q --hard $GOOD; git clean -qffd"),
    Left(
        "a FIFO and a socket",
        """
        mkfifo conftest.py src/fifo; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('GNUmakefile')" """,
        RESET,
    ),
    Left("folders too deep for a path", "deep 30 $(printf %0200d 0)", RESET),
    Left(
        "folders for files",
        "rm README; mkdir README; git init -q README; echo litter >README/file; rm -rf src; echo file >src",
        "git checkout -q $GOOD",
    ),
    Left("a link for a file", 'rm src/one.txt; ln -s "$victim/precious" src/one.txt', BY_SHELL),
    Left("a link for a folder", 'rm -rf src; cp one.txt "$victim"/one.txt; ln -s "$victim" src', BY_SHELL),
    Left("a hard link for a file", 'ln -f "$victim/precious" src/one.txt', BY_SHELL),
    Left(
        "a link for its folder",
        """
        slot=$PWD; cd ..; rm -rf "$slot.real"; mv "$slot" "$slot.real"; ln -s "$victim" "$slot" """,
        'rm -rf "$tree"/*',
    ),
    Left(
        "a link for its temporary folder",
        """
        tmp=${AGENTCTL_COMMIT:+$TMPDIR}; tmp=${tmp:-$tree.tmp}; rm -rf "$tmp"; ln -s "$victim" "$tmp" """,
        'rm -rf "$tree.tmp"/*',
    ),
    Left(
        "a process that goes on",
        """
        setsid sh -c 'for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo evil >>src/one.txt; sleep 0.1; done' >/dev/null 2>&1 &""",
        RESET + "; sleep 0.3",
    ),
    Left("nothing: a change of attributes alone", "true", RESET, change=((".gitattributes", "*.txt text eol=crlf\n"),)),
    Left(
        "nothing: a file that is not to be exported",
        "true",
        "rm -rf ./*; git archive $GOOD | tar -x",
        change=((".gitattributes", "hidden.txt export-ignore\n"), ("hidden.txt", "hidden\n")),
    ),
    Left(
        "nothing: bytes for an export",
        "true",
        "rm -rf ./*; git archive $GOOD | tar -x",
        change=((".gitattributes", "stamp.txt export-subst\n"), ("stamp.txt", "$Format:%H$\n")),
    ),
)


@pytest.mark.parametrize("setup", IN_A_SLOT, ids=str)
def test_a_gate_sees_what_lands(ground, tally, setup):
    sees_what_lands(ground, tally, setup)
