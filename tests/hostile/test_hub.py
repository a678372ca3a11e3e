"""What stands in the hub's own Git directory, where an agent without a sandbox can write, is not executed by our commands,
and hides nothing from them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agentctl.git.merge import changed
from tests.hostile.setups import Setup
from tests.hostile.trial import AGENT, HONEST, executes, look
from tests.support.hub import git


@dataclass(frozen=True, slots=True)
class Planted(Setup):
    """What an agent plants in the main checkout, and what the person types there."""

    words: tuple[str, ...] = ()
    """A command that it is meant for, beside those that are tried on every one."""
    undo: str = ""
    """What the person does when it is noticed."""


KIND = "programs and lies in the hub"

EVERY_HOOK = """
mkdir -p .git/hooks
for hook in pre-commit prepare-commit-msg commit-msg post-commit post-checkout post-merge pre-push pre-receive update \\
    post-receive post-update reference-transaction push-to-checkout pre-auto-gc post-rewrite post-index-change; do
    cp "$EVIL" .git/hooks/$hook
done"""
SIGNED = """
git cat-file commit main | sed '/^committer/a gpgsig -----BEGIN PGP SIGNATURE-----\\n \\n -----END PGP SIGNATURE-----' |
    sed "s/^parent.*/parent $(git rev-parse main)/" | git hash-object -t commit -w --stdin >"$KEPT/id"
git update-ref refs/heads/signed "$(cat "$KEPT/id")"
"""
ABSENT = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

IN_THE_HUB = (
    Planted("fsmonitor", 'git config core.fsmonitor "$EVIL"', "git status"),
    Planted("hooks of every sort", EVERY_HOOK, "git commit -q --allow-empty -m more"),
    Planted(
        "a folder of hooks",
        'mkdir .git/mine; cp "$EVIL" .git/mine/reference-transaction; git config core.hooksPath .git/mine',
        "git branch new",
    ),
    Planted(
        "filters",
        """
        mkdir -p .git/info; echo '*.txt filter=evil' >.git/info/attributes
        git config filter.evil.clean "$EVIL"; git config filter.evil.smudge "$EVIL"; git config filter.evil.required true""",
        "echo new >new.txt; git add new.txt; git rm -q --cached new.txt; rm new.txt src/one.txt; git checkout src/one.txt",
    ),
    Planted(
        "a filter process",
        """
        mkdir -p .git/info; echo '*.txt filter=evil' >.git/info/attributes; git config filter.evil.process "$EVIL quit" """,
        "echo new >new.txt; git add new.txt",
    ),
    Planted(
        "an included file", 'printf "[core]\\n\\tfsmonitor = $EVIL\\n" >.git/more; git config include.path more', "git status"
    ),
    Planted(
        "configuration of the worktree",
        """
        git config extensions.worktreeConfig true; git config --worktree core.fsmonitor "$EVIL"
        git config --worktree filter.evil.clean "$EVIL"; mkdir -p .git/info; echo '*.txt filter=evil' >.git/info/attributes""",
        "git status",
    ),
    Planted(
        "a signature that is shown",
        SIGNED + 'git config log.showSignature true; git config gpg.program "$EVIL"',
        "git log -1 signed",
        words=("submit", "signed", "--change", "meant"),
    ),
    Planted(
        "a promisor's upload-pack",
        """
        git config extensions.partialClone origin; git config core.repositoryFormatVersion 1; git config remote.origin.promisor true
        git config remote.origin.url "$hub"; git config remote.origin.uploadpack "$EVIL quit" """,
        f"git cat-file -e {ABSENT}",
        words=("submit", ABSENT, "--change", "meant"),
    ),
    Planted(
        "a merge driver",
        """
        mkdir -p .git/info; echo 'docs/guide.txt merge=evil' >.git/info/attributes; git config merge.evil.driver "$EVIL" """,
        "git merge -q --no-edit left; git merge -q --no-edit right",
    ),
    Planted(
        "a diff program and a text conversion",
        """
        git config diff.external "$EVIL"; git config diff.evil.textconv "$EVIL"; git config diff.evil.command "$EVIL"
        mkdir -p .git/info; echo '* diff=evil' >.git/info/attributes""",
        "git diff left right",
    ),
    Planted(
        "an editor, a pager and a signing program",
        """
        git config core.editor "$EVIL"; git config core.pager "$EVIL"; git config gpg.program "$EVIL"; git config commit.gpgSign true
        git config core.askPass "$EVIL"; git config sequence.editor "$EVIL" """,
        "git commit -q --allow-empty; git commit -q --allow-empty -m signed",
    ),
    Planted(
        "programs for a transport",
        """
        git config remote.origin.url "ext::$EVIL quit %S"; git config protocol.ext.allow always; git config core.sshCommand "$EVIL quit"
        git config core.gitProxy "$EVIL"; git config core.alternateRefsCommand "$EVIL"; git config credential.helper "$EVIL" """,
        "git fetch origin",
    ),
    Planted(
        "maintenance",
        """
        git config gc.autoPackLimit 1; git config gc.autoDetach false; mkdir -p .git/hooks; cp "$EVIL" .git/hooks/pre-auto-gc
        git repack -q; git branch more $(git commit-tree -m more -p main main^{tree}); git repack -q""",
        "git gc --auto",
    ),
)

HIDDEN = (
    Planted(
        "a replaced file",
        """
        git replace -f $(git rev-parse main:src/one.txt) $(echo evil | git hash-object -w --stdin)""",
        "git show main:src/one.txt",
    ),
    Planted("a replaced commit", "git replace -f main main~1", "git show main:first.txt || echo evil"),
    Planted(
        "a commit graph that lies",
        "python3 $place/lie.py",
        'test "$(git rev-list --count main)" = 1 && echo evil',
        undo="rm -f .git/objects/info/commit-graph",
    ),
    Planted(
        "files somewhere else",
        'git config core.worktree "$victim"',
        "git reset -q --hard; git clean -qfdx; cat $victim/precious || echo evil",
    ),
)

LIE = """\
# Takes the parent of trunk's tip out of a commit graph, as gitformat-commit-graph(5) has it.
import hashlib, subprocess
subprocess.run(["git", "commit-graph", "write", "--reachable"], check=True)
path = ".git/objects/info/commit-graph"
data = bytearray(open(path, "rb").read()[:-20])
chunks = {bytes(data[at:at + 4]): int.from_bytes(data[at + 4:at + 12], "big") for at in range(8, 8 + 12 * data[6], 12)}
count = int.from_bytes(data[chunks[b"OIDF"] + 255 * 4:][:4], "big")
for n in range(count):
    at = chunks[b"CDAT"] + n * 36 + 20
    data[at:at + 8] = (0x70000000).to_bytes(4, "big") * 2
subprocess.run(["chmod", "u+w", path])
open(path, "wb").write(data + hashlib.sha1(data).digest())
"""


@pytest.mark.parametrize("setup", IN_THE_HUB, ids=str)
def test_nothing_in_the_hub_is_executed(ground, tally, setup):
    begin(ground)
    tally.control(setup, *executes(ground, setup, in_hub=True))
    ground.shell(setup.plant, ground.hub, planting=True)
    everything(ground, setup)


@pytest.mark.parametrize("setup", HIDDEN, ids=str)
def test_nothing_in_the_hub_hides_what_is_there(ground, tally, setup):
    begin(ground)
    (ground.place / "lie.py").write_text(LIE)
    hub, _ = ground.clone()
    ground.shell(setup.plant, hub, hub, planting=True)
    said = ground.shell(setup.control, hub, hub, status=None)
    tally.control(setup, "evil" in said, said)
    ground.mend()
    ground.shell(setup.plant, ground.hub, planting=True)
    everything(ground, setup)
    assert ground.repo.show("src/one.txt") == "one\n"


def test_a_bare_repository_in_the_tree_of_trunk(ground, tally):
    setup = Planted(
        "a bare repository in trunk's tree",
        """
        git init -q --bare sub; git -C sub config core.fsmonitor "$EVIL"; git -C sub config core.bare false
        git -C sub config core.worktree .; touch sub/refs/.keep sub/objects/.keep; git add sub; git commit -q -m sub""",
        "cd sub; git status",
    )
    tally.control(setup, *executes(ground, setup, in_hub=True))
    ground.shell(setup.plant, ground.hub, planting=True)
    for words in (
        "ps",
        "queue",
        "submit --change x",
        "test",
        "verify",
        "doctor",
        "run",
        "policy check",
        "bot run --once",
        "spawn ann -- true",
    ):
        ground.agentctl(*words.split(), at=ground.hub / "sub")


def begin(ground):
    """Two branches that change the same file apart from each other, so that Git has to merge; and one in conflict."""
    text = "a guide\nof more\nthan one\nline\n"
    for name, old, new in (
        ("left", "a guide", "a good guide"),
        ("right", "line", "honest line"),
        ("clash", "line", "other line"),
    ):
        git(ground.hub, "branch", name, ground.repo.change({"docs/guide.txt": text.replace(old, new)}, name))


def everything(ground, setup):
    """All that a person does in the main checkout, and a whole run."""
    tip = ground.repo.tip
    if setup.words:
        ground.agentctl(*setup.words)
    for name in ("left", "right", "clash"):
        assert ground.agentctl("submit", name, "--change", name) == 0, ground.said
    assert ground.agentctl("test") == 0, ground.said
    ground.agentctl("test", "left", "--again")
    ground.agentctl("task", "add", "--id", "job", "Do it.")
    assert ground.session("run", "-n", "1", "--keep", text="commit work.txt") == 0, ground.said
    ground.session("spawn", AGENT, text=HONEST)
    look(ground)
    for words in (
        "why clash",
        "verify",
        "init",
        "policy check",
        "hook status",
        "task show job",
        f"rm {AGENT}",
        f"rm --force {AGENT}",
        "revert job",
        "bot run --once",
    ):
        ground.agentctl(*words.split())
    stages = {name: str(ground.repo.stage(name)) for name in ("left", "right", "clash", "job")}
    assert sorted(stages.values()) == ["landed", "landed", "landed", "rejected"], f"{stages}\n{ground.said}"
    assert [path for path, *_ in changed(ground.repo.hub, tip, ground.repo.tip)] == ["docs/guide.txt"]
    assert ground.repo.show("docs/guide.txt").startswith("a good guide\nof more\nthan one\n")
    ground.nothing_lost()
    ground.shell(setup.undo, ground.hub)
    ground.whole()
