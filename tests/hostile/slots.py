"""How a gate's slot is tried: what one gate left, and what the next one sees there."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from agentctl.git import folders
from tests.hostile.setups import Setup
from tests.support.hub import git, policy, write

GATE = """\
# Copies what it sees, and does what the change says if it is a bad one.
cp -a . {place}/seen/$AGENTCTL_COMMIT.$$ || exit 125
if test -e plant.sh; then . ./plant.sh; exit 1; fi
HONEST=honest git status >/dev/null
exit 0
"""


@dataclass(frozen=True, slots=True)
class Left(Setup):
    """What a gate leaves in its slot, and the honest change that is tested there afterwards."""

    change: tuple[tuple[str, str], ...] = (("src/two.txt", "changed\n"), ("new.txt", "new\n"))


def sees_what_lands(ground, tally, setup):
    repo = ground.repo
    (ground.place / "seen").mkdir()
    (ground.place / "gate.sh").write_text(GATE.format(place=ground.place))
    write(ground.hub, {".agentctl/policy.yaml": policy(gate=f"sh {ground.place}/gate.sh", slots=1, retries=0)})
    git(ground.hub, "commit", "-q", "-a", "-m", "policy")
    good = repo.change(dict(setup.change))
    bad = ground.script(setup.plant, f"{ground.hub}.agentctl/slots/1", strict=False).read_text()
    tally.control(setup, *differs(ground, setup, good))
    ground.mend()
    repo.hand_in("bad", repo.change({"plant.sh": bad}))
    repo.hand_in("good", good)
    ground.agentctl("bot", "run", "--once")
    assert (str(repo.stage("bad")), str(repo.stage("good"))) == ("rejected", "landed"), ground.said
    seen = list((ground.place / "seen").iterdir())
    assert {path.name[:40] for path in seen} >= {repo.tip}
    for path in seen:
        assert differences(path, fresh(ground, ground.hub, path.name[:40])) == [], ground.said
    ground.agentctl("test")
    ground.agentctl("test", good)
    ground.agentctl("doctor")
    ground.whole()
    assert not os.path.lexists(f"{ground.hub}.agentctl/slots/1")


def differs(ground, setup, good):
    """How a plain checkout differs from the commit after it was made ready for that."""
    hub, tree = ground.clone()
    git(hub, "update-ref", "refs/heads/good", good)
    git(tree, "fetch", "-q", "origin")
    want = fresh(ground, hub, good)
    ground.shell(setup.plant, tree, hub, planting=True, status=None)
    ground.shell(f"GOOD={good}\n{setup.control}", tree if tree.is_dir() else ground.place, hub, status=None, tree=tree)
    found = [] if ground.victim_is_well() else ["the victim's file"]
    return bool(found := [*found, *differences(tree, want)]), found


def fresh(ground, hub, commit):
    """What a new clone has."""
    folder = ground.place / f"fresh-{commit[:12]}"
    if not folder.exists():
        git(hub, "clone", "-q", "-s", "-n", str(hub), str(folder))
        git(folder, "-c", "advice.detachedHead=false", "checkout", "-q", commit)
    return folder


def differences(one, other):
    here, there = contents(one), contents(other)
    return sorted(path for path in here.keys() | there.keys() if here.get(path) != there.get(path))


def contents(folder):
    """(kind, permission, bytes) by path, Git's own folder left out."""
    found = {}
    for where, below, names in folders.walk(str(folder)):
        below[:] = [name for name in below if (where, name) != (str(folder), ".git")]
        for name in (*below, *names):
            path = Path(where, name)
            if len(str(path)) > 3000:
                continue
            mode = path.lstat().st_mode
            data = os.readlink(path) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else ""
            found[str(path.relative_to(folder))] = stat.S_IFMT(mode), mode & (0o700 if path.is_dir() else 0o100), data
    return {path: entry for path, entry in found.items() if path != ".git"}
