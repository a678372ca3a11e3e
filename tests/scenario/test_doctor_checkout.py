"""Checkouts of trunk that could not follow it: what is in the way is moved aside, edits are kept on a branch."""

import os
import subprocess

import pytest

from tests.scenario.test_doctor import doctor, held, typed
from tests.support.hub import git, write

FILES = {"a.txt": "a\n", "b.txt": "b\n", "sub/c.txt": "c\n", "gone.txt": "gone\n", ".gitignore": "*.env\n"}


@pytest.fixture
def checkout(make_repo):
    """A hub whose checkout has what a person did, before a bot landed other work."""
    repo = make_repo(files=FILES)
    repo.work = repo.path

    def land(edit, *batches):
        for n, files in enumerate(batches):
            repo.submit(f"change-{n}", files)
        with repo.bot(batch=1, slots=1) as bot:
            edit(repo.work)
            while not bot.idle:
                bot.take_turn()
                bot.wake.wait(0.05)

    repo.land = land
    return repo


def put(files):
    return lambda folder: write(folder, files)


def staged(files):
    def edit(folder):
        write(folder, files)
        git(folder, "add", "-f", *files)

    return edit


def both(*edits):
    return lambda folder: [edit(folder) for edit in edits]


def link(name, target):
    def edit(folder):
        (folder / name).unlink(missing_ok=True)
        os.symlink(target, folder / name)

    return edit


FAULTS = {
    "an untracked file": (put({"new.txt": "MINE\n"}), [{"new.txt": "theirs\n"}]),
    "an ignored file": (put({"secret.env": "SECRET\n"}), [{"secret.env": "theirs\n", "new.txt": "new\n"}]),
    "the same file": (put({"new.txt": "theirs\n", "more.txt": "MINE\n"}), [{"new.txt": "theirs\n", "more.txt": "theirs\n"}]),
    "a folder for a file": (put({"new/x.txt": "MINE\n", "new/y/z.txt": "MINE TOO\n"}), [{"new": "theirs\n"}]),
    "a file for a folder": (put({"new": "MINE\n"}), [{"new/x.txt": "theirs\n"}]),
    "a file in a folder that becomes a file": (put({"sub/mine.txt": "MINE\n"}), [{"sub/c.txt": None}, {"sub": "theirs\n"}]),
    "an ignored file in a folder that becomes a file": (
        put({"sub/my.env": "MINE\n"}),
        [{"sub/c.txt": None}, {"sub": "theirs\n"}],
    ),
    "a link": (link("new.txt", "nowhere"), [{"new.txt": "theirs\n"}]),
    "an edit": (put({"a.txt": "MINE\n"}), [{"a.txt": "theirs\n"}]),
    "an edit and a file": (put({"a.txt": "MINE\n", "new.txt": "MINE\n"}), [{"a.txt": "theirs\n", "new.txt": "theirs\n"}]),
    "an edit elsewhere": (put({"a.txt": "MINE\n", "b.txt": "MINE TOO\n"}), [{"a.txt": "theirs\n"}]),
    "a staged edit": (staged({"a.txt": "MINE\n"}), [{"a.txt": "theirs\n"}]),
    "a staged edit that was edited": (both(staged({"a.txt": "STAGED\n"}), put({"a.txt": "MINE\n"})), [{"a.txt": "theirs\n"}]),
    "a staged new file": (staged({"new.txt": "MINE\n"}), [{"new.txt": "theirs\n"}]),
    "an edit of a file that went": (put({"gone.txt": "MINE\n"}), [{"gone.txt": None}]),
    "a link for a file": (link("a.txt", "b.txt"), [{"a.txt": "theirs\n"}]),
    "several landings": (
        put({"a.txt": "MINE\n"}),
        [{"a.txt": "theirs\n"}, {"b.txt": "theirs\n"}, {"a.txt": "again\n", "d.txt": "d\n"}],
    ),
    "several landings around a file": (
        put({"new.txt": "MINE\n"}),
        [{"new.txt": "theirs\n"}, {"b.txt": "theirs\n"}, {"new.txt": "again\n"}],
    ),
    "odd names": (
        put({"n'w $x.txt": "MINE\n", "-f": "MINE\n"}),
        [{"n'w $x.txt": "theirs\n", "-f": "theirs\n", "a.txt": "theirs\n"}],
    ),
}


def sound(repo):
    """The checkout is as trunk, and nothing that a mend used is left."""
    assert git(repo.work, "status", "--porcelain", "--untracked-files=no") == ""
    assert git(repo.work, "diff", "HEAD") == "" and git(repo.work, "rev-parse", "HEAD").strip() == repo.tip
    own = git(repo.work, "rev-parse", "--absolute-git-dir").strip()
    assert [name for name in os.listdir(own) if name.startswith("index") and name != "index"] == []


@pytest.mark.parametrize("linked", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_that_stood_in_the_way_is_lost(checkout, tmp_path, fault, linked):
    repo = checkout
    if linked:
        repo.git("switch", "-q", "--detach")
        repo.work = tmp_path / "linked"
        repo.git("worktree", "add", "-q", str(repo.work), "main")
    edit, batches = FAULTS[fault]
    repo.land(edit, *batches)
    before = held(repo)
    [finding] = doctor(repo, ok=9)
    assert finding["what"] == f"{repo.work} has main checked out, but the files of an older commit"
    typed(repo, finding["mend"], tmp_path)
    assert doctor(repo, ok=0) == []
    assert before - held(repo) == set()
    sound(repo)
    repo.drain()


def test_an_edit_is_the_only_difference_of_its_branch(checkout, tmp_path):
    checkout.land(put({"a.txt": "MINE\n", "b.txt": "MINE TOO\n"}), {"a.txt": "theirs\n"}, {"sub/c.txt": "theirs\n"})
    said = typed(checkout, doctor(checkout)[0]["mend"], tmp_path)
    assert "is on the branch edits-1" in said
    assert (
        checkout.git("diff", "--stat=80", "edits-1^", "edits-1").splitlines()[-1].strip()
        == "2 files changed, 2 insertions(+), 2 deletions(-)"
    )
    # What landed is not undone by it: only where both changed a file is there something to decide.
    merge = subprocess.run(["git", "merge", "-q", "edits-1"], cwd=checkout.path, capture_output=True)
    assert merge.returncode == 1 and checkout.git("diff", "--name-only", "--diff-filter=U") == "a.txt\n"
    assert (checkout.path / "b.txt").read_text() == "MINE TOO\n" and (checkout.path / "sub/c.txt").read_text() == "theirs\n"


def test_what_was_staged_and_what_was_edited_are_two_commits(checkout, tmp_path):
    checkout.land(both(staged({"a.txt": "STAGED\n"}), put({"a.txt": "MINE\n"})), {"a.txt": "theirs\n"})
    typed(checkout, doctor(checkout)[0]["mend"], tmp_path)
    assert [checkout.show("a.txt", f"edits-1~{n}") for n in range(2)] == ["MINE\n", "STAGED\n"]
    assert checkout.git("log", "-1", "--format=%an", "edits-1") == "Tess Tester\n"


def test_edits_on_todays_trunk_are_switched_away_and_stay_where_they_are(repo, tmp_path):
    write(repo.path, {"README": "edited\n", "staged.txt": "staged\n"})
    repo.git("add", "staged.txt")
    repo.git("branch", "edits-1")
    before, status = held(repo), repo.git("status", "--porcelain")
    [finding] = doctor(repo, ok=9)
    assert finding["what"] == f"{repo.path} has main checked out with uncommitted changes: README, staged.txt"
    assert finding["mend"] == f"git -C {repo.path} switch -c edits-2"
    typed(repo, finding["mend"], tmp_path)
    assert doctor(repo, ok=0) == []
    assert repo.git("status", "--porcelain") == status and before <= held(repo)
    repo.submit("one", {"one.txt": "one\n"})
    repo.drain()
    assert repo.stage("one") == "landed"


def test_files_as_the_users_git_makes_them(checkout, tmp_path):
    # A filter and line endings of the user's: what is only written differently was not edited.
    for where in ("--global", "--local"):
        git(checkout.path, "config", where, "filter.upper.clean", "tr A-Z a-z")
        git(checkout.path, "config", where, "filter.upper.smudge", "tr a-z A-Z")
    checkout.push({".gitattributes": "up.txt filter=upper\ncrlf.txt text eol=crlf\n", "up.txt": "up\n", "crlf.txt": "one\n"})
    assert (checkout.path / "up.txt").read_text() == "UP\n" and b"\r\n" in (checkout.path / "crlf.txt").read_bytes()
    checkout.land(put({"a.txt": "MINE\n"}), {"a.txt": "theirs\n", "up.txt": "more\n"})
    typed(checkout, doctor(checkout)[0]["mend"], tmp_path)
    assert checkout.git("diff", "--name-only", "edits-1^", "edits-1") == "a.txt\n"
    assert (checkout.path / "up.txt").read_text() == "MORE\n"
    sound(checkout)


def test_a_mend_that_was_killed_before_its_end_is_finished_by_the_same(checkout, tmp_path):
    checkout.land(put({"a.txt": "MINE\n", "new.txt": "MINE TOO\n"}), {"a.txt": "theirs\n", "new.txt": "theirs\n"})
    before = held(checkout)
    # As if it had been killed when the files were brought along, and the index was not yet.
    own = checkout.path / ".git"
    index = (own / "index").read_bytes()
    line = doctor(checkout)[0]["mend"]
    typed(checkout, line, tmp_path)
    (own / "index").write_bytes(index)
    (own / "index.lock").touch()
    (own / "index.agentctl-new").write_bytes(b"half")
    typed(checkout, line, tmp_path)
    assert before - held(checkout) == set()
    assert checkout.git("branch", "--list", "edits-*").split() == ["edits-1"]
    sound(checkout)


def test_a_git_at_work_in_the_checkout_is_waited_for(checkout, tmp_path):
    checkout.land(put({"new.txt": "MINE\n"}), {"new.txt": "theirs\n"})
    line = doctor(checkout)[0]["mend"]
    editor = f"touch {tmp_path}/open; sleep 1000; :"
    git_ = subprocess.Popen(
        ["git", "commit", "-a", "--allow-empty"],
        cwd=checkout.path,
        env=os.environ | {"GIT_EDITOR": editor},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not (tmp_path / "open").exists():
            pass
        typed(checkout, line, tmp_path, ok=8)
        assert (checkout.path / "new.txt").read_text() == "MINE\n"
    finally:
        os.killpg(git_.pid, 9)
        git_.wait()
    typed(checkout, line, tmp_path)
    sound(checkout)


def test_an_edit_right_after_a_checkout_that_keeps_the_size_is_seen(repo):
    for word in ("one", "two", "six", "ten"):
        write(repo.path, {"word.txt": word + "\n"})
        git(repo.path, "add", "word.txt")
        git(repo.path, "commit", "-q", "-m", word)
        (repo.path / "word.txt").write_text(word.upper() + "\n")
        assert any("uncommitted changes: word.txt" in found["what"] for found in doctor(repo)), word
