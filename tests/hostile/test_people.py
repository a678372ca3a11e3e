"""Set-ups that need a person, a place or rights of their own."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl.errors import Refused
from tests.hostile.ground import Ground, closed
from tests.hostile.setups import END, HAND_OVER, RESET, Setup
from tests.hostile.slots import Left, sees_what_lands
from tests.hostile.trial import AGENT, HONEST, executes, look, loses
from tests.support.hub import command, environment, git, policy, write

KIND = "permissions, places and people"

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, PR_CAPBSET_DROP = 1, 2, 3, 24


def powerless():
    """Give up root's right to read and write everything, as the superuser; nothing to give up for anybody else."""
    for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER) if os.geteuid() == 0 else ():
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, right, 0, 0, 0)


class Ordinary(Ground):
    """Everything is done by somebody whom permissions hold."""

    def run(self, argv, **options):
        return subprocess.run(argv, preexec_fn=powerless, **options)

    def agentctl(self, *args, at=None):
        done = self.run(command("-C", str(at or self.hub), *args), env=environment(), capture_output=True, text=True, timeout=60)
        self.said += f"$ agentctl {' '.join(args)}\n{done.stdout}{done.stderr}[{done.returncode}]\n"
        assert done.returncode in range(12) and "Traceback" not in done.stderr, self.said
        return done.returncode


@pytest.fixture
def ordinary(tmp_path, template, sealed):
    found = Ordinary(tmp_path / "place", template, sealed)
    yield found
    subprocess.run(["rm", "-rf", str(found.place)])


OPEN_AND_END = HAND_OVER + 'cd ..; chmod -R u+rwX "$tree"; rm -rf "$tree"'

PERMISSIONS = (
    Setup("files without permission", "work work.txt; chmod 000 work.txt", OPEN_AND_END),
    Setup(
        "folders without permission",
        "mkdir -p folder; work folder/work.txt; chmod 000 folder",
        OPEN_AND_END,
        lands=("folder/work.txt",),
    ),
    Setup("a worktree without permission", "work work.txt; chmod 000 .git; chmod 555 .", OPEN_AND_END),
    Setup("objects without permission", "commit work.txt; chmod 000 .git/objects", OPEN_AND_END),
)


@pytest.mark.parametrize("setup", PERMISSIONS, ids=str)
def test_nothing_is_lost_for_want_of_permission(ordinary, tally, setup):
    ground = ordinary
    tally.control(setup, *loses(ground, setup))
    ground.agentctl("task", "add", "--id", "job", "Do it.")
    ground.session("run", "-n", "1", "--keep", text=setup.plant)
    assert setup.explains(set(ground.landed())), ground.said
    ground.nothing_lost()
    ground.session("spawn", AGENT, text=HONEST)
    ground.nothing_lost()
    ground.shell(setup.plant, ground.tree(AGENT))
    ground.agentctl("rm", AGENT)
    ground.agentctl("rm", "--force", AGENT)
    ground.nothing_lost()
    assert not os.path.lexists(ground.tree(AGENT)), ground.said
    ground.whole()


@pytest.mark.parametrize(
    "setup",
    [
        Left("folders that cannot be written in", "chmod 555 src docs .", RESET),
        Left("litter in folders without permission", "mkdir litter; touch litter/file; chmod 000 litter", RESET),
    ],
    ids=str,
)
def test_a_gate_sees_what_lands_for_all_permissions(ordinary, tally, setup):
    sees_what_lands(ordinary, tally, setup)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give a file away")
def test_a_file_of_somebody_else_is_not_deleted(ordinary, tally):
    ground = ordinary
    setup = Setup("a file of somebody else", "commit work.txt; echo theirs >theirs.txt; work more.txt", END)
    hub, tree = ground.clone()
    ground.shell(setup.plant, tree, hub)
    give_away(tree / "theirs.txt")
    ground.shell(setup.control, tree, hub, status=None)
    tally.control(setup, not (tree / "theirs.txt").exists(), "theirs.txt")
    ground.forget()
    ground.session("spawn", AGENT, text=setup.plant)
    give_away(ground.tree(AGENT) / "theirs.txt")
    for words in ("rm", "rm --force", "spawn", "rm --force"):
        ground.agentctl(*words.split(), AGENT, *(("--", "true") if words == "spawn" else ()))
    ground.nothing_lost()
    (kept,) = Path(f"{ground.hub}.agentctl/aside").glob("*/theirs.txt")
    assert kept.read_text() == "theirs\n"


def give_away(path):
    os.chown(path, 65534, 65534)
    path.chmod(0o600)


@pytest.mark.parametrize("folders", [True, False], ids=["with its worktrees", "without them"])
def test_a_hub_that_was_moved(ground, tally, folders):
    setup = Setup(
        "a hub that was moved",
        """
        commit work.txt; work loose.txt; git config core.fsmonitor "$EVIL"; git config gpg.program "$EVIL"
        git config diff.external "$EVIL"; git config filter.evil.clean "$EVIL"
        mkdir -p .git/info; echo '*.txt filter=evil' >.git/info/attributes""",
        'mv "$hub" "$hub.moved"; git status',
    )
    tally.control(setup, *executes(ground, setup))
    ground.session("spawn", AGENT, text=setup.plant)
    worktree = ground.tree(AGENT)
    moved = ground.place / "elsewhere/hub"
    moved.parent.mkdir()
    ground.hub.rename(moved)
    if folders:
        Path(f"{ground.hub}.agentctl").rename(f"{moved}.agentctl")
        worktree = Path(f"{moved}.agentctl/agents/{AGENT}")
    for words in ("submit", "submit --change x", "test", "ps", "queue", "verify", "doctor", "policy check", "bot run --once"):
        status = ground.agentctl(*words.split(), at=worktree)
        assert folders or status == Refused.exit, ground.said
    for words in (
        "ps",
        "doctor",
        "verify",
        "bot run --once",
        f"rm {AGENT}",
        f"rm --force {AGENT}",
        f"spawn {AGENT} -- true",
        f"rm --force {AGENT}",
        "bot run --once",
    ):
        ground.agentctl(*words.split(), at=moved)
    lost = ground.lost(moved, [Path(f"{moved}.agentctl"), Path(f"{ground.hub}.agentctl")])
    assert lost == [], ground.said
    assert "x/1" in closed(moved, "log", "--format=%B", "refs/agentctl/state") or not folders, "it was acknowledged"


def test_modules_of_a_worktree_are_not_imported(ground, tally):
    setup = Setup(
        "modules with the names of others",
        """
        for name in json click yaml dulwich filelock agentctl sitecustomize usercustomize encodings; do
            printf 'import os; os.system("$EVIL import")\n' >$name.py
        done; commit work.txt""",
        "echo '{}' | python3 -m json.tool",
    )
    program = Path(sys.executable).with_name("agentctl")
    if not program.exists():
        pytest.skip("agentctl is not installed beside this Python")
    tally.control(setup, *executes(ground, setup))
    ground.session("spawn", AGENT, text=setup.plant)
    for words in ("submit", "test", "queue", "ps", "doctor", "--version"):
        subprocess.run([str(program), *words.split()], cwd=ground.tree(AGENT), capture_output=True, timeout=60)
        assert ground.executed() == "", words


def test_a_session_that_is_watched(ground, tally):
    setup = Setup(
        "a session that is watched",
        """
        commit work.txt; git config core.fsmonitor "$EVIL"; printf '*.txt filter=evil\n' >.gitattributes
        git config filter.evil.clean "$EVIL"; git config filter.evil.process "$EVIL quit"; echo more >>work.txt; keep work.txt""",
        "git status",
        lands=("work.txt", ".gitattributes"),
    )
    tally.control(setup, *executes(ground, setup))
    write(ground.hub, {".agentctl/policy.yaml": policy().replace("agents:\n", "agents:\n  silence: 4s\n")})
    git(ground.hub, "commit", "-q", "-a", "-m", "policy")
    ground.session("spawn", AGENT, text=setup.plant + "; sleep 1")
    look(ground, AGENT)
    ground.agentctl("rm", "--force", AGENT)
    ground.nothing_lost()


def test_the_folder_of_all_worktrees_swapped_for_a_link(ground, tally):
    setup = Setup(
        "the folder of all worktrees swapped for a link", "commit work.txt; work loose.txt", 'rm -rf "$victim/agents/ann"'
    )
    theirs = ground.place / "victim/agents/ann"
    theirs.mkdir(parents=True)
    (theirs / "precious").write_text("somebody's own\n")
    trees = ground.place / "plain.agentctl"
    (trees / "agents").mkdir(parents=True)
    (trees / "agents").rename(trees / "agents.real")
    (trees / "agents").symlink_to(theirs.parent)
    subprocess.run(["rm", "-rf", str(trees / "agents/ann")])
    tally.control(setup, not theirs.exists(), "the folder is gone")
    theirs.mkdir()
    (theirs / "precious").write_text("somebody's own\n")
    ground.session("spawn", "ann", agent="ann", text=setup.plant)
    agents = Path(f"{ground.hub}.agentctl/agents")
    agents.rename(f"{agents}.real")
    agents.symlink_to(theirs.parent)
    for words in ("rm ann", "rm --force ann", "spawn ann -- true", "rm --force ann", "doctor", "bot run --once"):
        ground.agentctl(*words.split())
    kept = [*ground.place.glob("victim/**/precious"), *Path(f"{ground.hub}.agentctl").glob("aside/**/precious")]
    assert len(kept) == 2 and all(path.read_text() == "somebody's own\n" for path in kept), ground.said
    ground.nothing_lost()
