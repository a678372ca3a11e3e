"""Trunk follows a branch that people move: its namesake at a remote, or another branch of the hub."""

import os
import shutil
import subprocess

import pytest

from agentctl.bot import publish, upstream
from agentctl.core.policy.policy import parse
from agentctl.core.text.yaml_document import Problems
from tests.support.hub import Repo, cli, command, environment, eventually, finish, git, policy, told, until, write
from tests.support.team import Team

PUBLISHED = policy().replace("trunk: main", "trunk: main\npublish: origin")


class Mirrored(Repo):
    """A hub that is published to the bare repository `there`."""

    @classmethod
    def begin(cls, folder, text=PUBLISHED, **files):
        made = cls.create(folder / "hub", {".agentctl/policy.yaml": text, **files})
        made.there = folder / "origin.git"
        git(folder, "clone", "-q", "--bare", str(made.path), str(made.there))
        made.git("remote", "add", "origin", str(made.there))
        made.trunk_judged()
        return made

    @property
    def published(self):
        return git(self.there, "rev-parse", "main").strip()

    def colleague(self, files, branch="main", onto="origin/main", force=False):
        """A colleague commits at the remote, and pushes; the commit's id."""
        folder = self.path.parent / "colleague"
        if not folder.exists():
            git(folder.parent, "clone", "-q", str(self.there), "colleague")
        git(folder, "fetch", "-q")
        git(folder, "checkout", "-q", "-B", "work", onto)
        write(folder, files)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "a colleague's work")
        git(folder, "push", "-q", *(["--force"] if force else []), "origin", f"work:{branch}")
        return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def repo(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "REST", 0.05)
    return Mirrored.begin(tmp_path)


# trunk at a remote


def test_what_lands_is_published(repo):
    for name in ("one", "two"):
        repo.submit(name, {name: "new\n"})
        repo.drain()
        assert repo.published == repo.tip
    assert repo.landings() == ["one/1", "two/1"]
    repo.proven()
    repo.cli("doctor")


def test_the_command_ends_when_all_is_published(repo):
    repo.submit("one", {"one": "new\n"})
    assert "landed 1" in repo.cli("bot", "run", "--once").stdout
    assert repo.published == repo.tip


def test_what_a_colleague_pushes_is_taken_in(repo):
    new = repo.colleague({"theirs": "1\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.tip == new and bot.state.trunk == new)
        assert len(told(bot, "adopted")) == 1
    repo.proven()


def test_what_landed_and_what_was_pushed_meanwhile_are_merged_and_tested(repo):
    theirs = repo.colleague({"theirs": "1\n"})
    repo.submit("one", {"one": "new\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.published == repo.tip and repo.stage("one") == "landed")
    assert repo.show("theirs") == "1\n" and repo.show("one") == "new\n"
    assert theirs in repo.git("rev-list", "main").split()
    repo.proven()


def diverged(repo, ours, theirs, away="away"):
    """Trunk has `ours` and its namesake at the remote `theirs`."""
    os.rename(repo.there, away := repo.path.parent / away)
    repo.submit("ours", ours)
    with repo.bot() as bot:
        until(bot, lambda: repo.stage("ours") == "landed" and told(bot, "upstream"))
    os.rename(away, repo.there)
    return repo.colleague(theirs)


def test_two_lines_are_joined_under_a_merge_commit(repo):
    theirs = diverged(repo, {"ours": "1\n"}, {"theirs": "1\n"})
    ours = repo.tip
    with repo.bot() as bot:
        until(bot, lambda: repo.published == repo.tip != ours)
        tested = {event.tree for _, event in bot.judged}
    assert repo.git("rev-parse", "main^1", "main^2").split() == [ours, theirs]
    assert repo.git("rev-parse", "main^{tree}").strip() in tested
    assert repo.stages()["upstream/1"] == "landed"
    repo.proven()


def test_what_the_same_people_protect_may_come_with_it(repo):
    text = PUBLISHED.replace("timeout: 50s", "timeout: 49s")
    diverged(repo, {"ours": "1\n"}, {".agentctl/policy.yaml": text})
    with repo.bot() as bot:
        until(bot, lambda: repo.published == repo.tip)
    assert repo.show(".agentctl/policy.yaml") == text
    repo.proven()


def test_what_fails_together_does_not_land(repo):
    diverged(repo, {"ours": "1\n"}, {"bad": "BUG\n"})
    ours = repo.tip
    with repo.bot() as bot:
        until(bot, lambda: repo.stages().get("upstream/1") == "rejected")
        repo.submit("more", {"more": "1\n"})
        finish(bot)
        assert repo.stage("more") == "landed"
        assert len([event for event in told(bot, "rejected") if "upstream" in event]) == 1
        assert "bad" not in repo.git("ls-tree", "--name-only", "main").split()
        repo.git("merge-base", "--is-ancestor", ours, "main")
        folder = repo.path.parent / "colleague"
        git(folder, "rm", "-q", "bad")
        git(folder, "commit", "-q", "-m", "mend it")
        git(folder, "push", "-q", "origin", "work:main")
        until(bot, lambda: repo.published == repo.tip)
    repo.proven()


def test_a_conflict_is_resolved_where_people_push(repo):
    diverged(repo, {"same": "ours\n"}, {"same": "theirs\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stages().get("upstream/1") == "rejected")
        assert repo.kind("upstream") == "conflict"
        work = repo.path.parent / "work"
        repo.git("fetch", "-q", "origin")
        repo.git("worktree", "add", "-q", "--detach", str(work), "origin/main")
        git(work, "merge", "-q", "-X", "ours", "-m", "resolve", "main")
        git(work, "push", "-q", "origin", "HEAD:main")
        until(bot, lambda: repo.published == repo.tip)
    assert repo.show("same") == "theirs\n"
    repo.proven()


def test_whoever_decides_of_moves_of_trunk_has_them_tested_first(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "REST", 0.05)
    repo = Mirrored.begin(tmp_path, PUBLISHED.replace("publish:", "foreign: stop\npublish:"))
    repo.colleague({"good": "1\n"})
    repo.drain()
    assert repo.show("good") == "1\n" and repo.stages()["upstream/1"] == "landed"
    repo.colleague({"bad": "BUG\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stages().get("upstream/2") == "rejected")
    assert repo.show("bad") is None
    repo.proven()


def test_the_name_is_nobody_elses(repo):
    repo.submit("upstream", {"one": "1\n"})
    repo.drain()
    assert repo.kind("upstream") == "refused"


def test_a_remote_that_is_away_keeps_nobody_waiting(repo):
    shutil.move(repo.there, away := repo.path.parent / "away")
    repo.submit("one", {"one": "1\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stage("one") == "landed" and told(bot, "upstream"))
        said = told(bot, "upstream")
        assert len(said) == 1 and "trunk is not published: the remote origin cannot be reached" in said[0]
        shutil.move(away, repo.there)
        until(bot, lambda: repo.published == repo.tip)
        until(bot, lambda: told(bot, "upstream")[1:] == ["trunk is published again"])


def test_a_remote_that_declines_says_why_once(repo):
    hook = repo.there / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho main is frozen until Monday\nexit 1\n")
    hook.chmod(0o755)
    repo.submit("one", {"one": "1\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stage("one") == "landed" and told(bot, "upstream"))
        assert "main is frozen until Monday" in told(bot, "upstream")[0]
        hook.unlink()
        until(bot, lambda: repo.published == repo.tip)


def test_a_run_whose_work_is_not_published_says_so_at_its_end_and_afterwards(repo):
    hook = repo.there / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho main is frozen until Monday\nexit 1\n")
    hook.chmod(0o755)
    repo.cli("task", "add", "--id", "one", "one")
    said = repo.cli("run", "-n", "1", "--", "sh", "-c", "echo 1 >one", ok=7).stdout
    assert "publish     trunk is not published: the remote origin declines" in said and "frozen until Monday" in said
    found = repo.cli("doctor", ok=9).stdout
    assert "1 commit of trunk is not published at origin" in found
    assert "trunk is not published" in repo.cli("bot", "run", "--once", ok=7).stdout
    hook.unlink()
    repo.cli("bot", "run", "--once")
    assert repo.published == repo.tip
    repo.cli("doctor")


def test_that_trunk_was_never_published_is_told_while_a_bot_runs_and_afterwards(repo):
    shutil.rmtree(repo.there)
    repo.cli("doctor")
    with subprocess.Popen(command("bot", "run"), cwd=repo.path, env=environment(), stderr=subprocess.DEVNULL) as bot:
        try:
            held = "held up: trunk is not published: the remote origin cannot be reached"
            eventually(lambda: held in repo.cli("ps").stdout)
            assert held in repo.cli("queue").stdout
        finally:
            bot.terminate()
    assert "held up" not in repo.cli("ps").stdout
    said = repo.cli("doctor", ok=9).stdout
    assert "trunk was never published at origin (1 commit)" in said and "agentctl bot run --once pushes it, or says why" in said
    git(repo.there.parent, "init", "-q", "--bare", str(repo.there))
    repo.cli("bot", "run", "--once")
    assert repo.published == repo.tip
    repo.cli("doctor")


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_large_files_are_there_before_what_names_them(tmp_path):
    subprocess.run(["git", "lfs", "install", "--skip-repo"], check=True, capture_output=True)
    repo = Mirrored.begin(tmp_path, **{".gitattributes": "*.big filter=lfs diff=lfs merge=lfs -text\n"})
    repo.cli("task", "add", "--id", "one", "one")
    repo.cli("run", "-n", "1", "--", "sh", "-c", "echo large >data.big; git add data.big; git commit -qm large")
    assert repo.published == repo.tip and repo.show("data.big").startswith("version https://git-lfs")
    git(tmp_path, "clone", "-q", str(repo.there), "fresh")
    assert (tmp_path / "fresh/data.big").read_text() == "large\n"


def test_what_was_taken_back_at_the_remote_is_not_pushed_again(repo):
    repo.submit("one", {"one": "1\n"})
    repo.drain()
    git(repo.there, "update-ref", "refs/heads/main", "main~1")
    taken_back = repo.published
    repo.submit("two", {"two": "1\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stage("two") == "landed" and told(bot, "upstream"))
        assert "not forward" in told(bot, "upstream")[0]
        assert repo.published == taken_back
        command = told(bot, "upstream")[0].split("puts it back: ")[1].split(";")[0]
        repo.git(*command.split()[1:])
        until(bot, lambda: repo.published == repo.tip)


def test_a_trunk_that_the_remote_lacks_is_made(repo):
    git(repo.there, "update-ref", "-d", "refs/heads/main")
    repo.drain()
    assert repo.published == repo.tip


def test_what_shares_no_history_is_told_and_left(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "REST", 0.05)
    repo = Mirrored.begin(tmp_path)
    other = Repo.create(tmp_path / "other", {"else": "1\n"})
    git(other.path, "commit", "-q", "--amend", "-m", "another begin")
    git(other.path, "push", "-q", "--force", str(repo.there), "main:main")
    with repo.bot() as bot:
        until(bot, lambda: told(bot, "upstream"))
        assert told(bot, "upstream") == ["origin/main shares no history with trunk, and is not taken in"]
        repo.submit("one", {"one": "1\n"})
        finish(bot)
    assert repo.stage("one") == "landed"


@pytest.mark.parametrize("bare", [False, True])
def test_a_relative_path_leads_where_it_leads_the_users_git(tmp_path, bare):
    hub = Repo.create(tmp_path / "hub", {".agentctl/policy.yaml": PUBLISHED}, bare=bare)
    git(tmp_path, "clone", "-q", "--bare", str(hub.path), "origin.git")
    hub.git("config", "remote.origin.url", "../origin.git")
    hub.submit("one", {"one": "1\n"})
    hub.cli("bot", "run", "--once")
    assert git(tmp_path / "origin.git", "rev-parse", "main").strip() == hub.tip
    # A worktree of the hub is no other place.
    hub.git("worktree", "add", "-q", "--detach", str(tmp_path / "far" / "away"))
    hub.submit("two", {"two": "1\n"})
    cli("bot", "run", "--once", cwd=tmp_path / "far" / "away")
    assert git(tmp_path / "origin.git", "rev-parse", "main").strip() == hub.tip


# a policy by which trunk cannot go

PATH = ".agentctl/policy.yaml"


class Branched(Mirrored):
    """A hub whose trunk follows its branch `dev`."""

    @classmethod
    def begin(cls, folder, text=PUBLISHED):
        made = cls.create(folder / "hub", {PATH: text.replace("publish: origin", "upstream: dev")})
        made.git("branch", "dev")
        made.trunk_judged()
        return made

    def colleague(self, files):
        new = self.change(files, "a colleague's work", self.hub.trunk_tip("dev"))
        self.git("update-ref", "refs/heads/dev", new)
        return new


@pytest.mark.parametrize(
    ("kind", "name", "apart"), [(Mirrored, "origin/main", False), (Branched, "dev", False), (Branched, "dev", True)]
)
def test_a_policy_by_which_trunk_cannot_go_is_taken_in_when_it_is_mended(tmp_path, monkeypatch, kind, name, apart):
    monkeypatch.setattr(publish, "REST", 0.05)
    repo = kind.begin(tmp_path)
    text = repo.show(PATH)
    if apart:
        repo.submit("ours", {"ours": "1\n"})
        repo.drain()
    bad = repo.colleague({PATH: text + "nonsense: 1\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stages().get("upstream/1") == "rejected")
        repo.submit("more", {"more": "1\n"})
        until(bot, lambda: repo.stage("more") == "landed")
        assert len([event for event in told(bot, "rejected") if "upstream" in event]) == 1
        why = repo.record("upstream").why
        assert f": {PATH}:{len(text.splitlines()) + 1}:1: " in why and why.endswith(f"; mend it on {name}")
        assert repo.kind("upstream") == "policy" and bad not in repo.git("rev-list", "main").split()
        mended = repo.colleague({PATH: text, "mended": "1\n"})
        until(bot, lambda: mended in repo.git("rev-list", "main").split())
    assert repo.show(PATH) == text
    repo.proven()


@pytest.fixture
def waiting(tmp_path):
    """A hub whose trunk follows `dev` and is ahead of it, and whose gate waits until the file `repo.go` is there."""
    go = tmp_path / "go"
    go.touch()
    text = PUBLISHED.replace("gates:", "gates:\n  - {name: wait, run: 'while [ ! -e " + str(go) + " ]; do sleep 0.02; done'}")
    repo = Branched.begin(tmp_path, text)
    repo.submit("ours", {"ours": "1\n"})
    repo.drain()
    go.unlink()
    repo.go = go
    return repo


def merged(repo, files):
    """A colleague merges trunk into `dev`, with `files`; the commit."""
    theirs = repo.hub.trunk_tip("dev")
    repo.git("branch", "-f", "merged", repo.change(files, "merge", repo.tip))
    made = repo.git("commit-tree", "merged^{tree}", "-p", theirs, "-p", repo.tip, "-m", "merge").strip()
    repo.git("update-ref", "refs/heads/dev", made)
    return made


def test_what_people_took_back_while_it_was_tested_does_not_land(waiting):
    repo = waiting
    repo.colleague({"feature": "a bad idea\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stages().get("upstream/1") == "queued")
        taken_back = merged(repo, {"instead": "1\n"})
        until(bot, lambda: repo.tip == taken_back)
        until(bot, lambda: repo.stages().get("upstream/1") == "superseded")
        repo.go.touch()
        finish(bot)
    assert repo.tip == taken_back and repo.show("feature") is None
    assert repo.record("upstream").why == f"dev is at {taken_back[:12]} now, which trunk holds"


def test_what_people_mended_while_it_was_tested_is_not_rejected(tmp_path, waiting):
    repo, text = waiting, waiting.show(PATH)
    repo.colleague({PATH: text + "nonsense: 1\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stages().get("upstream/1") == "queued")
        mended = merged(repo, {PATH: text, "mended": "1\n"})
        until(bot, lambda: repo.tip == mended)
        repo.go.touch()
        finish(bot)
    assert repo.stages()["upstream/1"] == "superseded" and repo.show(PATH) == text


def test_what_people_removed_from_their_branch_does_not_land(waiting):
    repo, before = waiting, waiting.hub.trunk_tip("dev")
    repo.colleague({"feature": "a bad idea\n"})
    with repo.bot() as bot:
        until(bot, lambda: repo.stages().get("upstream/1") == "queued")
        repo.git("update-ref", "refs/heads/dev", before)
        until(bot, lambda: repo.stages().get("upstream/1") == "superseded")
        repo.go.touch()
        finish(bot)
    assert repo.show("feature") is None


def test_two_policies_that_are_valid_apart_and_not_together_are_not_joined(tmp_path):
    repo = Branched.begin(tmp_path, PUBLISHED.replace("protect:\n  - .agentctl/**\n", "protect: []\n"))
    text = repo.show(PATH)
    ours = text.replace("version: 1\n", "version: 1\nlimits: {path: 400}\n")
    repo.submit("ours", {PATH: ours})
    repo.drain()
    repo.colleague({PATH: text + "limits: {path: 500}\n"})
    repo.drain()
    assert repo.stages() == {"ours/1": "landed", "upstream/1": "rejected"} and repo.kind("upstream") == "policy"
    assert f": {PATH}:{len(ours.splitlines()) + 1}:1: " in repo.record("upstream").why
    repo.colleague({PATH: text, "mended": "1\n"})
    repo.drain()
    assert (repo.show(PATH), repo.show("mended")) == (ours, "1\n")
    repo.proven()


# a branch of the bot's own

OWN = policy().replace("trunk: main", "trunk: landed\nupstream: main")


class Released(Team):
    """A hub on a remote where the bot may not push main; trunk is `landed`."""

    def __init__(self, folder):
        super().__init__(folder)
        self.push({".agentctl/policy.yaml": OWN})
        git(self.path, "branch", "landed", "main")
        self.hook("update", 'test "$1" != refs/heads/main || test -n "$PERSON" || { echo only people push main; exit 1; }\n')

    def merge(self, *options):
        """A person merges what has landed into main, as a forge does."""
        folder = self.folder / "colleague"
        git(folder, "fetch", "-q")
        git(folder, "checkout", "-q", "-B", "main", "origin/main")
        git(folder, "merge", "-q", *options, "origin/landed")
        if "--squash" in options:
            git(folder, "commit", "-q", "-m", "all at once")
        os.environ["PERSON"] = "ann"
        git(folder, "push", "-q", "origin", "main")
        del os.environ["PERSON"]

    @property
    def landed(self):
        return self.refs["refs/heads/landed"]


@pytest.fixture
def team(tmp_path):
    return Released(tmp_path)


def land(team, name):
    station = team.clone(f"of-{name}")
    station.cli("init", "--remote", "origin")
    git(station.path, "checkout", "-q", "-b", name, "origin/landed")
    write(station.path, {name: "new\n"})
    git(station.path, "add", name)
    git(station.path, "commit", "-q", "-m", f"add {name}")
    station.cli("submit")
    station.cli("bot", "run", "--once")
    station.cli("verify")


def test_a_bot_that_may_not_push_main_lands_on_a_branch_of_its_own(team):
    before = team.tip
    land(team, "one")
    assert git(team.path, "show", "landed:one") == "new\n"
    assert team.tip == before


def test_what_people_push_is_taken_in_though_nothing_waits(team, monkeypatch):
    station = team.clone("ann")
    station.cli("init", "--remote", "origin")
    monkeypatch.setenv("PERSON", "ann")
    for n in range(2):
        new = team.push({f"{n}": "theirs\n"})
        station.cli("bot", "run", "--once")
        assert team.landed == new


def test_a_branch_that_trunk_begins_to_follow_is_looked_at_before_the_bot_is_idle(team, monkeypatch):
    monkeypatch.setenv("PERSON", "ann")
    text = OWN.replace("upstream: main\n", "")
    git(team.path, "update-ref", "refs/heads/landed", team.push({".agentctl/policy.yaml": text}))
    station = team.clone("ann")
    station.cli("init", "--remote", "origin")
    new = team.push({".agentctl/policy.yaml": OWN})
    git(team.path, "update-ref", "refs/heads/landed", new)
    newer = team.push({"theirs": "1\n"})
    station.cli("bot", "run", "--once")
    assert team.landed == newer


@pytest.mark.parametrize("way", ["--ff-only", "--no-ff", "--squash"])
def test_what_people_merge_comes_back(team, way):
    land(team, "one")
    team.merge(way)
    land(team, "two")
    git(team.path, "merge-base", "--is-ancestor", "main", "landed")
    team.merge("--ff-only")
    assert team.tip == team.landed
    assert git(team.path, "show", "main:two") == "new\n"


# the policy


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ("publish: origin\nremote: origin", "publish: the hub stands on origin, where trunk is moved anyway"),
        ("publish: origin\nupstream: dev", "publish: there is an upstream already: dev"),
        ("upstream: main", "upstream: that is trunk itself"),
        ("publish: 'a b'", "publish"),
        ("upstream: refs/heads/x", "upstream"),
    ],
)
def test_two_upstreams_are_refused(keys, wrong):
    with pytest.raises(Problems) as caught:
        parse(policy().replace("trunk: main", f"trunk: main\n{keys}"), "policy.yaml")
    assert any(wrong in str(problem) for problem in caught.value.problems)


def test_a_branch_that_is_followed_has_a_name():
    assert upstream.name(parse(PUBLISHED, "policy.yaml")) == "origin/main"
    assert upstream.name(parse(OWN, "policy.yaml")) == "main"
