"""Making or removing a worktree, killed before any of its effects: the same call again finishes it."""

import os
import shutil
from pathlib import Path

import pytest

from agentctl.fleet import agents
from agentctl.gate import slots
from agentctl.git import worktrees
from tests.support.effects import every_kill


def nothing_is_left(repo):
    assert not os.path.exists(repo.hub.worktrees)
    assert os.listdir(repo.hub.own_path("worktrees", "x").removesuffix("x")) == []


def test_an_agents_worktree_half_made(repo):
    for n in every_kill(lambda: agents.prepare(repo.hub, "ann", repo.tip, "main")):
        tree, new = agents.prepare(repo.hub, "ann", repo.tip, "main")
        assert new, n
        assert repo.git("status", "--porcelain", "--branch", cwd=tree.path) == "## agent/ann\n", n
        assert agents.remove(repo.hub, "ann", repo.tip) == "", n
        nothing_is_left(repo)
    assert n > 20


def test_an_agents_worktree_half_removed(repo):
    def begin():
        for ref in repo.refs("refs/agentctl/salvage"):
            repo.git("update-ref", "-d", ref)
        tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
        with open(tree.path + "/work", "w") as file:
            file.write("work\n")

    begin()
    for n in every_kill(lambda: agents.remove(repo.hub, "ann", repo.tip)):
        agents.remove(repo.hub, "ann", repo.tip)
        nothing_is_left(repo)
        refs = repo.refs("refs/agentctl/salvage")
        assert [repo.show("work", ref) for ref in refs] == ["work\n"], n
        begin()
    assert n > 10


def test_an_agent_whose_worktree_is_half_reset_has_no_work_in_it(repo):
    # What stands there halfway is agentctl's own doing, and nobody's work.
    newer = repo.change({"README": "newer\n", "more": "more\n"})
    agents.prepare(repo.hub, "ann", repo.tip, "main")
    for n in every_kill(lambda: agents.prepare(repo.hub, "ann", newer, "main")):
        agents.prepare(repo.hub, "ann", repo.tip, "main")
        assert repo.refs("refs/agentctl/salvage") == [], n


def test_a_slot_half_made_or_half_removed(repo):
    def use():
        with slots.slot(repo.hub) as place:
            slots.check_out(place, _policy(repo), repo.tip)

    for act in (use, lambda: slots.remove_slots(repo.hub)):
        for n in every_kill(act):
            use()
            assert (repo.path.parent / "repo.agentctl/slots/1/check.sh").exists(), n
            slots.remove_slots(repo.hub)
            nothing_is_left(repo)
            use()
    nothing_is_left(repo)


def _policy(repo):
    from agentctl.hub.policy_file import read_policy

    return read_policy(repo.hub, repo.tip)


def test_a_slot_in_use_keeps_its_scratch_folder(repo):
    # Somebody tests by hand while a bot ends.
    with slots.slot(repo.hub) as place:
        os.makedirs(place.path + ".tmp")
        slots.remove_slots(repo.hub)
        assert os.path.isdir(place.path + ".tmp")
    slots.remove_slots(repo.hub)
    nothing_is_left(repo)


@pytest.mark.parametrize("files", [{}, {"precious": "mine\n"}])
def test_a_folder_that_is_not_the_recorded_one_is_never_deleted(repo, files):
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    os.rename(tree.path, tree.path + ".real")
    os.mkdir(tree.path)
    for name, text in files.items():
        with open(os.path.join(tree.path, name), "w") as file:
            file.write(text)
    agents.prepare(repo.hub, "ann", repo.tip, "main")
    assert os.path.exists(tree.path + ".real/check.sh")
    aside = os.path.join(repo.hub.worktrees, "aside", "ann-1")
    assert (os.listdir(aside) if os.path.exists(aside) else []) == list(files)
    agents.remove(repo.hub, "ann", repo.tip)
    assert os.path.exists(tree.path + ".real/check.sh")
    shutil.rmtree(repo.hub.worktrees)


def test_a_link_in_the_place_of_a_worktree_is_moved_aside_and_not_followed(repo, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("mine\n")
    for kind, again in (
        ("agents/ann", lambda: agents.prepare(repo.hub, "ann", repo.tip, "main")),
        ("slots/1", lambda: slots.remove_slots(repo.hub)),
        ("agents/bob", lambda: agents.remove(repo.hub, "bob", repo.tip)),
    ):
        path = os.path.join(repo.hub.worktrees, kind)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(victim, path)
        again()
        assert (victim / "precious").read_text() == "mine\n"
        assert not os.path.islink(path)
    assert worktrees.known(repo.hub, "aside") == ["1-1", "ann-1", "bob-1"]


def test_what_a_killed_bot_had_only_begun_goes_with_the_next(make_repo):
    """A slot's folder that nobody had noted yet, and the beginning of its marks."""
    repo = make_repo()
    repo.drain()
    slot, marks = Path(repo.hub.worktrees, "slots", "2"), Path(repo.hub.own, "marks.json.new")
    slot.mkdir(parents=True)
    marks.write_text("{")
    repo.drain()
    assert not slot.exists() and not marks.exists() and not Path(repo.hub.worktrees, "aside").exists()
