"""What an agent made is not lost, and nothing that it did not mean lands, whatever state it leaves."""

from __future__ import annotations

import pytest

from tests.hostile.setups import BRANCH, END, Setup
from tests.hostile.trial import agents_worktree, loses

KIND = "work in odd states and places"

SIDES = """
git checkout -q -b side; echo "side $TOKEN" >src/one.txt; git commit -q -a -m side; keep_commits
git checkout -q -; commit first.txt; echo "mine $TOKEN" >src/one.txt; keep src/one.txt; git commit -q -a -m mine; keep_commits
"""

HALF_DONE = (
    Setup("a rebase half done", SIDES + "git rebase -q side || true; work loose.txt", END, lands=()),
    Setup("a merge half done", SIDES + "git merge -q side || true; work loose.txt", END, lands=()),
    Setup("a cherry-pick half done", SIDES + "git cherry-pick side || true; work loose.txt", END, lands=()),
    Setup(
        "a revert half done",
        """
        echo "more $TOKEN" >src/one.txt; git commit -q -a -m more; echo "other $TOKEN" >src/one.txt; git commit -q -a -m other
        keep_commits; git revert HEAD~1 || true; work loose.txt""",
        END,
        lands=(),
    ),
    Setup(
        "a bisection",
        """
        commit first.txt; commit second.txt; commit third.txt; git bisect start HEAD HEAD~3; work loose.txt""",
        END,
        lands=(),
    ),
    Setup(
        "patches half applied",
        SIDES
        + """
        git checkout -q -b patched HEAD~2; commit patched.txt; git format-patch -q -1 -o "$KEPT" side; rm -f "$KEPT/patches"
        git am -q "$KEPT"/0001-side.patch && git reset -q --hard HEAD~1; git checkout -q agent/agent-1 2>/dev/null ||
            git checkout -q agent/plain; git am -q "$KEPT"/0001-side.patch || true; work loose.txt""",
        "git am --abort; git clean -qfd; " + END,
        lands=(),
    ),
)

COMMITS = (
    Setup("commits on a detached HEAD", "git checkout -q --detach; commit work.txt", BRANCH),
    Setup("commits on another branch", "git checkout -q -b mine; commit mine.txt; git checkout -q -; commit work.txt", END),
    Setup("commits on its own trunk", "git checkout -q main; commit work.txt", BRANCH),
    Setup(
        "a branch without history",
        """
        mine=$(git symbolic-ref --short HEAD); git checkout -q --orphan fresh; git rm -q -rf .; commit alone.txt
        git checkout -q -f $mine; commit work.txt""",
        END,
    ),
    Setup("a stash", "commit work.txt; work stashed.txt; git add -A; git stash -q", END),
    Setup(
        "a stash with untracked files that was dropped",
        """
        commit work.txt; work untracked.txt; git stash -q -u; git rev-parse stash stash^3 >>"$KEPT/commits"; git stash drop -q""",
        END,
    ),
    Setup(
        "an amended commit",
        """
        commit work.txt; echo "other $TOKEN" >work.txt; keep work.txt; git commit -q -a --amend -m amended; keep_commits""",
        END,
    ),
    Setup("commits that were reset away", "commit work.txt; commit more.txt; git reset -q --hard HEAD~2", END, lands=()),
    Setup(
        "a branch that was deleted",
        """
        git checkout -q -b mine; commit mine.txt; git checkout -q -; git branch -q -D mine; commit work.txt""",
        END,
    ),
    Setup(
        "commits that only a tag names",
        "commit tagged.txt; git tag -m kept kept; git reset -q --hard HEAD~1; commit work.txt",
        END,
    ),
    Setup(
        "its own repacking",
        """
        commit one.txt; commit two.txt; git reset -q --hard HEAD~1; git gc -q; git pack-refs --all; commit work.txt""",
        END,
        lands=("one.txt", "work.txt"),
    ),
    Setup(
        "a repository begun anew",
        """
        rm -rf .git; git init -q -b fresh; git add -A; git commit -q -m all; commit work.txt""",
        BRANCH,
        lands=(),
    ),
    Setup(
        "what it built on is pruned",
        """
        git -C "$hub" branch -f feature $(git -C "$hub" commit-tree -m "feature $TOKEN" -p main "main^{tree}")
        git fetch -q origin; git checkout -q origin/feature; commit work.txt""",
        END,
        meanwhile='git -C "$hub" branch -q -D feature; git -C "$hub" reflog expire --expire=now --all; git -C "$hub" gc -q --prune=now',
    ),
)

BROKEN = (
    Setup("no .git any more", "git checkout -q --detach; work work.txt; rm -rf .git", END),
    Setup("a configuration that cannot be read", "commit work.txt; echo '[core' >.git/config", END),
    Setup("an empty HEAD", "commit work.txt; : >.git/HEAD", END),
    Setup("no HEAD any more", "commit work.txt; rm .git/HEAD", END),
    Setup(
        "an index of garbage",
        "commit work.txt; work more.txt; printf 'DIRC garbage' >.git/index",
        END,
        lands=("work.txt", "more.txt"),
    ),
    Setup(
        "locks of a Git that died",
        "commit work.txt; work more.txt; touch .git/index.lock .git/HEAD.lock .git/config.lock",
        END,
        lands=("work.txt", "more.txt"),
    ),
    Setup("packed refs of garbage", "commit work.txt; head -c 300 /dev/zero >.git/packed-refs", END),
    Setup("no way to the hub's objects", "commit work.txt; rm .git/objects/info/alternates", END),
    Setup(
        "an object that is empty",
        """
        commit work.txt; commit more.txt; id=$(git rev-parse HEAD:more.txt); path=.git/objects/$(echo $id | sed 's,..,&/,')
        chmod u+w $path; : >$path""",
        END,
        lands=(),
    ),
    Setup(
        "a FIFO for an object",
        """
        commit work.txt; mkdir -p .git/objects/00; mkfifo .git/objects/00/$(printf %038d 0)""",
        "timeout 1 git fsck || " + 'rm -rf "$tree"',
        lands=(),
    ),
    Setup("a FIFO for HEAD", "commit work.txt; rm .git/HEAD; mkfifo .git/HEAD", "timeout 1 git status || " + 'rm -rf "$tree"'),
    Setup(
        "a FIFO for the index", "commit work.txt; rm .git/index; mkfifo .git/index", "timeout 1 git status || " + 'rm -rf "$tree"'
    ),
    Setup("a FIFO for .git", "work work.txt; rm -rf .git; mkfifo .git", "timeout 1 git status || " + 'rm -rf "$tree"'),
)

NESTED = (
    Setup("a repository inside", "git init -q inner; (cd inner; commit one; work two); commit work.txt", END),
    Setup("a repository inside without a commit", "git init -q inner; work inner/one; commit work.txt", END),
    Setup(
        "a repository inside an ignored folder",
        "mkdir -p build/x; git init -q build/x/inner; (cd build/x/inner; commit one; work two); commit work.txt",
        END,
    ),
    Setup(
        "a repository inside beside an ignored file",
        """
        printf "/server\\n# $TOKEN\\n" >.gitignore; git add .gitignore; git commit -q -m ignored; echo x >server; git init -q server-sdk
        (cd server-sdk; commit one; work two); commit work.txt""",
        END,
        lands=("work.txt", ".gitignore"),
    ),
    Setup(
        "repositories in one another",
        """
        git init -q a; (cd a; commit one; git init -q b; cd b; commit two; git init -q c; work c/three); commit work.txt""",
        END,
    ),
    Setup(
        "repositories nine deep",
        """
        top=$PWD; for n in 1 2 3 4 5 6 7 8 9; do git init -q $n; cd $n; commit file; done; cd $top; commit work.txt""",
        END,
    ),
    Setup(
        "a submodule with work in it",
        """
        git init -q -b main "$KEPT/library"; (cd "$KEPT/library"; echo theirs >file; git add file; git commit -q -m theirs)
        git -c protocol.file.allow=always submodule --quiet add "$KEPT/library" library; git commit -q -m library
        (cd library; commit mine; echo "dirty $TOKEN" >file; keep file; work loose)""",
        END,
        lands=(),
    ),
    Setup(
        "a repository inside with its Git directory outside",
        """
        rm -rf "$tree.inner"; git init -q --separate-git-dir="$tree.inner" inner; (cd inner; commit one; work two); commit work.txt""",
        END,
    ),
    Setup(
        "a worktree of its own inside",
        """
        git worktree add -q inner -b inner; (cd inner; commit one; work two); commit work.txt""",
        END,
    ),
    Setup(
        "a repository inside without a HEAD",
        "git init -q inner; (cd inner; commit one; work two; rm .git/HEAD); commit work.txt",
        END,
        lands=("work.txt", "inner/*"),
    ),
    Setup("a .git under another name", "commit one.txt; git reset -q --hard HEAD^; work work.txt; mv .git .git.bak", END),
    Setup(
        "a repository inside without a worktree",
        """
        git clone -q --bare "$hub" inner; (cd inner; git update-ref refs/heads/new "$(git commit-tree -m "new $TOKEN" 'main^{tree}')")
        work work.txt""",
        END,
    ),
    Setup(
        "an empty repository inside without a worktree", "git init -q --bare inner; work inner/description; work work.txt", END
    ),
    Setup(
        "a repository inside that is broken",
        """
        git init -q inner; (cd inner; commit one; work two; echo '[core' >.git/config; printf garbage >.git/index); commit work.txt""",
        END,
    ),
    Setup(
        "a clone inside with work in it",
        """
        git clone -q "$hub" inner; (cd inner; commit one; work two; echo "dirty $TOKEN" >README; keep README); commit work.txt""",
        END,
    ),
)

UNQUOTED = """
git status --porcelain | cut -c4- | xargs git add; git commit -q -m done; git push -q origin HEAD:refs/heads/agent/plain
cd ..; rm -rf "$tree" """
"""A harness that reads what Git prints for people."""

FILES = (
    Setup(
        "skip-worktree",
        """
        git update-index --skip-worktree src/one.txt; echo "mine $TOKEN" >src/one.txt; keep src/one.txt""",
        END,
        lands=("src/one.txt",),
    ),
    Setup(
        "assume-unchanged",
        """
        git update-index --assume-unchanged src/one.txt; echo "mine $TOKEN" >src/one.txt; keep src/one.txt""",
        END,
        lands=("src/one.txt",),
    ),
    Setup("hidden by info/exclude", "echo '*' >.git/info/exclude; work work.txt", END),
    Setup(
        "outside of a sparse checkout", "git sparse-checkout set docs; mkdir src; work src/new.txt", END, lands=("src/new.txt",)
    ),
    Setup(
        "a FIFO and a socket among the files",
        """
        rm README; mkfifo README fifo; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"; work work.txt""",
        END,
        lands=("work.txt",),
    ),
    Setup(
        "names with all that a name may have",
        r"""
        work '"quoted"'; work -dash; work "$(printf 'latin-\344')"; work ' '; work 'back\slash'; work '*'; work ':(top)'""",
        UNQUOTED,
        lands=('"quoted"', "-dash", "latin-\udce4", " ", "back\\slash", "*", ":(top)"),
    ),
    Setup("a name with a line break", r"""work "$(printf 'line\nbreak')"; work work.txt""", UNQUOTED, lands=()),
    Setup(
        "a folder for a file, and a file for a folder",
        """
        rm -rf README docs; mkdir README; work README/inside; work docs""",
        'git commit -q -a -m done; git push -q origin HEAD:refs/heads/agent/plain; cd ..; rm -rf "$tree"',
        lands=("README", "README/inside", "docs", "docs/guide.txt"),
    ),
    Setup(
        "another case, where Git is told that there is none",
        """
        git config core.ignoreCase true; rm -f src/one.txt; work src/One.txt""",
        END,
        lands=("src/one.txt", "src/One.txt"),
    ),
    Setup(
        "a link in the place of a folder",
        """
        rm -rf "$place/elsewhere"; mv src "$place/elsewhere"; ln -s "$place/elsewhere" src; work src/new.txt; work work.txt""",
        "rm -rf src/*; " + END,
        lands=(),
    ),
    Setup(
        "a link that leads nowhere in the place of a folder, beside commits",
        """
        rm -rf src; ln -s nowhere src; commit work.txt""",
        END,
        lands=("work.txt",),
    ),
    Setup(
        "folders too deep for a path",
        """
        commit work.txt; deep 30 $(printf %0200d 0)""",
        "git add -A; git commit -q -m done; " + BRANCH,
        lands=(),
    ),
    Setup(
        "many files with long names",
        """
        mkdir -p many; seq -f "%0200g" 2000 | (cd many; xargs sh -c 'for name; do echo "$name $TOKEN" >$name; done' sh)
        keep many/*01; work work.txt""",
        "git add -- $(for n in 1 2 3 4 5 6; do ls -d $PWD/many/*; done); git commit -q -m done; " + BRANCH,
        lands=("many/*", "work.txt"),
    ),
)

AROUND = (
    Setup(
        "the folder swapped for a link",
        "commit work.txt; work loose.txt",
        'git clean -qffdx "$tree/"; cd "$tree/" && rm -rf ./*',
        lands=("work.txt", "loose.txt"),
        meanwhile='rm -rf "$tree.real"; mv "$tree" "$tree.real"; ln -s "$victim" "$tree"',
    ),
    Setup(
        "the folder swapped for another",
        "commit work.txt; work loose.txt",
        'rm -rf "$tree"',
        lands=("work.txt", "loose.txt"),
        meanwhile='rm -rf "$tree.real"; mv "$tree" "$tree.real"; cp -R "$victim" "$tree"; work "$tree/others"; keep "$tree/precious"',
    ),
    Setup(
        "the folder restored from a copy",
        "commit work.txt; work loose.txt",
        'rm -rf "$tree"',
        lands=("work.txt", "loose.txt"),
        meanwhile='rm -rf "$tree.copy"; cp -Rp "$tree" "$tree.copy"; rm -rf "$tree"; mv "$tree.copy" "$tree"',
    ),
    Setup(
        "the folder swapped for a file",
        "commit work.txt; work loose.txt",
        'rm -rf "$tree"',
        lands=("work.txt", "loose.txt"),
        meanwhile='rm -rf "$tree.real"; mv "$tree" "$tree.real"; cd "$place"; work it; mv it "$tree"',
    ),
    Setup(
        "links in the place of files of its Git directory",
        """
        work work.txt; for name in HEAD index packed-refs; do rm -f .git/$name; ln -s "$victim/precious" .git/$name; done""",
        "echo 'ref: refs/heads/main' >.git/HEAD; git pack-refs --all",
    ),
    Setup(
        "the folder away",
        "commit work.txt; work loose.txt",
        'git -C "$hub" worktree prune; rm -rf "$tree.real"',
        lands=("work.txt", "loose.txt"),
        meanwhile='rm -rf "$tree.real"; mv "$tree" "$tree.real"',
    ),
)

EVERY = (*COMMITS, *BROKEN, *NESTED, *FILES, *AROUND)


@pytest.mark.parametrize("setup", EVERY, ids=str)
def test_nothing_that_an_agent_made_is_lost(ground, tally, setup):
    tally.control(setup, *loses(ground, setup))
    ground.mend()
    agents_worktree(ground, setup)


@pytest.mark.parametrize("setup", HALF_DONE, ids=str)
def test_nothing_half_done_is_lost_or_lands(ground, tally, setup):
    tally.control(setup, *loses(ground, setup))
    agents_worktree(ground, setup, "run", "-n", "1", "--keep")
