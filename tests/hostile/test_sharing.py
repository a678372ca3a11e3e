"""What one agent does in its worktree does not reach another agent, nor the person's branches and settings."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

import pytest

from tests.hostile.ground import closed
from tests.hostile.setups import Setup
from tests.hostile.trial import look


@dataclass(frozen=True, slots=True)
class Shared(Setup):
    """Ann's session runs `plant`, then Bob's `control`. What that prints is `sees` if nothing reached him."""

    sees: str = ""
    before: str = ""
    """What the person does in the main checkout before."""
    clones: bool = False
    """Without agentctl they have clones; else linked worktrees, which is where the others are harmful."""


KIND = "agents beside each other"

FEATURE = "git checkout -q -b feature; commit person.txt; git checkout -q main"

EVERY = (
    Shared("a stash", "work ann.txt; git stash -q -u", "git stash pop -q; ls ann.txt; echo done", sees="done"),
    Shared(
        "the name of a branch", "git checkout -q -b topic; commit ann.txt", "git checkout -q -b topic && echo made", sees="made"
    ),
    Shared("the name of a tag", "git tag v1", "git tag v1 && echo made", sees="made"),
    Shared("trunk in another checkout", "commit ann.txt", "git checkout -q main && echo on main", sees="on main"),
    Shared(
        "settings",
        "git config user.name Mallory; git config core.autocrlf true; commit ann.txt",
        "git config user.name; git config core.autocrlf",
        sees="Tess Tester",
    ),
    Shared(
        "hooks",
        """
        hooks=$(git rev-parse --git-path hooks); mkdir -p $hooks; printf '#!/bin/sh\\nexit 1\\n' >$hooks/pre-commit
        chmod +x $hooks/pre-commit""",
        "commit bob.txt && echo committed",
        sees="committed",
    ),
    Shared(
        "excludes",
        "mkdir -p $(dirname $(git rev-parse --git-path info/exclude)); echo '*' >>$(git rev-parse --git-path info/exclude)",
        "work bob.txt; git add -A; git status --porcelain",
        sees="A  bob.txt",
    ),
    Shared(
        "attributes",
        "mkdir -p $(dirname $(git rev-parse --git-path info/attributes)); echo '*.txt text eol=crlf' "
        ">>$(git rev-parse --git-path info/attributes)",
        "rm docs/guide.txt; git checkout -q docs; grep -c $(printf '\\r') docs/guide.txt",
        sees="0",
    ),
    Shared(
        "a lock of its packed refs",
        "touch $(git rev-parse --git-path packed-refs.lock)",
        "git pack-refs --all && echo packed",
        sees="packed",
    ),
    Shared(
        "a lock of its settings",
        "touch $(git rev-parse --git-common-dir)/config.lock",
        "git config a.b c && echo set",
        sees="set",
    ),
    Shared(
        "every ref deleted",
        "git for-each-ref --format='delete %(refname)' | git update-ref --stdin; echo gone",
        "git log -1 --format=%s main",
        sees="add first",
    ),
    Shared("trunk moved", "commit ann.txt; git update-ref refs/heads/main HEAD", "git log -1 --format=%s main", sees="add first"),
    Shared(
        "a push over another's branch",
        "commit ann.txt; git push -q -f origin HEAD:feature; true",
        "git fetch -q; git log -1 --format=%s origin/feature",
        sees="person.txt",
        before=FEATURE,
        clones=True,
    ),
    Shared(
        "a push that deletes",
        "git push -q origin :feature; true",
        "git fetch -q --prune; git log -1 --format=%s origin/feature",
        sees="person.txt",
        before=FEATURE,
        clones=True,
    ),
    Shared(
        "a garbage collection",
        "commit ann.txt; git reset -q --hard HEAD~1",
        "git reflog expire --expire=now --all; git gc -q --prune=now; echo done",
        sees="done",
    ),
    Shared(
        "a prune of worktrees",
        "git checkout -q --detach; commit ann.txt",
        "mv ../ann ../ann.away; git worktree prune; mv ../ann.away ../ann; git -C ../ann log -1 --format=%s",
        sees="ann.txt",
    ),
    Shared(
        "a shallow history",
        'git -c protocol.file.allow=always fetch -q --depth=1 "file://$hub" main; commit ann.txt',
        "git rev-list --count main",
        sees="2",
    ),
    Shared(
        "a sparse main checkout", "commit ann.txt", "ls src/one.txt", sees="src/one.txt", before="git sparse-checkout set docs"
    ),
    Shared("a person's branch called agent", "commit ann.txt", "echo works", sees="works", before="git branch agent"),
    Shared(
        "a person's branch with an agent's name",
        "commit ann.txt",
        "echo works",
        sees="works",
        before="git checkout -q -b agent/bob; commit person.txt; git checkout -q main",
    ),
)


@pytest.mark.parametrize("setup", EVERY, ids=str)
def test_agents_do_not_reach_each_other(ground, tally, setup):
    tally.control(setup, *reaches(ground, setup))
    ground.forget()
    if setup.before:
        ground.shell(setup.before, ground.hub)
    before = state(ground.hub)
    ground.session("spawn", "ann", agent="ann", text=setup.plant, strict=False)
    ground.session("spawn", "bob", agent="bob", text=setup.control, strict=False)
    assert logged(ground, "bob") == setup.sees, ground.said
    look(ground, "ann", "ann")
    assert state(ground.hub) == before
    for agent in ("ann", "bob"):
        ground.agentctl("test", at=ground.tree(agent))
        ground.agentctl("rm", agent)
        ground.agentctl("rm", "--force", agent)
    assert state(ground.hub) == before
    ground.nothing_lost(empty=True)
    ground.agentctl("bot", "run", "--once")
    ground.whole()


def test_a_folder_that_an_agent_names_in_the_settings_is_not_emptied(ground, tally):
    name = 'git --git-dir="$hub/.git" config agentctl.worktrees "$place/elsewhere"'
    setup = Shared(
        "the folder of worktrees named by an agent",
        "commit ann.txt; " + name,
        'rm -rf "$(git config agentctl.worktrees)/agents/bob"',
    )
    others = ground.place / "elsewhere/agents/bob"
    hub, tree = ground.clone()
    others.mkdir(parents=True)
    (others / "precious").write_text("somebody's own\n")
    ground.shell(setup.plant, tree, hub)
    ground.shell(setup.control, hub, hub)
    tally.control(setup, not others.exists(), "the folder is gone")
    ground.forget()
    others.mkdir(parents=True)
    (others / "precious").write_text("somebody's own\n")
    ground.session("spawn", "bob", agent="bob", text="commit bob.txt")
    ground.session("spawn", "ann", agent="ann", text=setup.plant)
    look(ground, "ann", "ann")
    for words in ("rm bob", "rm --force bob", "rm --force ann", "spawn bob -- true", "rm --force bob", "bot run --once"):
        ground.agentctl(*words.split())
    ground.nothing_lost()
    kept = list(ground.place.glob("elsewhere/**/precious"))
    assert [path.read_text() for path in kept] == ["somebody's own\n"], ground.said
    ground.whole()


def reaches(ground, setup):
    hub, tree = ground.clone()
    if setup.before:
        ground.shell(setup.before, hub, hub)
    trees = {name: ground.place / "trees" / name for name in ("ann", "bob")}
    for name, path in trees.items():
        words = (
            ["clone", "-q", "-s", str(hub), str(path)]
            if setup.clones
            else ["worktree", "add", "-q", "-B", f"agent/{name}", str(path), "main"]
        )
        subprocess.run(["git", *words], cwd=hub, capture_output=True)
    saw = "no worktree"
    if all(path.is_dir() for path in trees.values()):
        ground.shell(setup.plant, trees["ann"], hub, status=None)
        saw = ground.shell(setup.control, trees["bob"], hub, status=None).strip()
        for path in trees.values():
            subprocess.run(["rm", "-rf", str(path)])
    lost = ground.lost(hub, [], empty=True) if saw == setup.sees else []
    return bool(lost or saw != setup.sees), lost or f"it sees {saw!r}"


def logged(ground, agent):
    """What an agent's session printed; complaints apart."""
    path = os.path.join(ground.repo.hub.own, "logs/agents", f"{agent}.log")
    with open(path) as file:
        lines = file.read().splitlines()
    return "\n".join(line for line in lines if not line.startswith(("error:", "fatal:", "ls:", "hint:", "No ")))


def state(hub):
    """Branches, tags and settings of a hub."""
    return (
        closed(hub, "for-each-ref", "refs/heads", "refs/tags"),
        (hub / ".git/config").read_text(),
        sorted(os.listdir(hub / ".git/hooks")),
    )
