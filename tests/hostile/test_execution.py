"""What an agent writes into its worktree and into the Git directory there is never executed by a command of ours."""

from __future__ import annotations

import pytest

from tests.hostile.setups import Setup
from tests.hostile.trial import agents_worktree, executes

KIND = "programs in an agent's worktree"

FILTERED = 'commit work.txt; printf "*.txt filter=evil\\n# $TOKEN\\n" >.gitattributes; git add .gitattributes; git commit -q -m attributes\n'

IN_A_WORKTREE = (
    Setup("fsmonitor", 'commit work.txt; git config core.fsmonitor "$EVIL"', "git status"),
    Setup(
        "hooks of every sort",
        """
        commit work.txt; mkdir -p .git/hooks
        for hook in applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg \\
            post-commit pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update \\
            reference-transaction push-to-checkout pre-auto-gc post-rewrite fsmonitor-watchman post-index-change; do
            cp "$EVIL" .git/hooks/$hook
        done""",
        "git add -A; git commit --allow-empty -m done",
    ),
    Setup(
        "a folder of hooks in the tree",
        """
        commit work.txt; mkdir -p tools; cp "$EVIL" tools/post-checkout; git config core.hooksPath tools""",
        "git checkout -q HEAD~1",
        lands=("work.txt", "tools/*"),
    ),
    Setup(
        "a clean filter",
        FILTERED + 'git config filter.evil.clean "$EVIL"; work more.txt',
        "git add -A",
        lands=("work.txt", ".gitattributes"),
    ),
    Setup(
        "a smudge filter",
        FILTERED + 'git config filter.evil.smudge "$EVIL"; rm work.txt',
        "git reset --hard",
        lands=("work.txt", ".gitattributes"),
    ),
    Setup(
        "a filter process",
        FILTERED + 'git config filter.evil.process "$EVIL quit"; work more.txt',
        "git add -A",
        lands=("work.txt", ".gitattributes"),
    ),
    Setup(
        "a filter by info/attributes",
        """
        commit work.txt; echo "* filter=evil" >.git/info/attributes; git config filter.evil.clean "$EVIL"
        git config filter.evil.required true; work more.txt""",
        "git add -A",
        lands=("work.txt", "more.txt"),
    ),
    Setup(
        "a filter by an attributes file of its own",
        """
        commit work.txt; echo "* filter=evil" >.git/mine; git config core.attributesFile .git/mine
        git config filter.evil.clean "$EVIL"; work more.txt""",
        "git add -A",
        lands=("work.txt", "more.txt"),
    ),
    Setup(
        "an included file of the tree",
        """
        commit work.txt; printf '# %s\\n[core]\\n\\tfsmonitor = %s\\n' "$TOKEN" "$EVIL" >settings
        git add settings; git commit -q -m settings; git config include.path ../settings""",
        "git status",
        lands=("work.txt", "settings"),
    ),
    Setup(
        "a file included on a branch",
        """
        commit work.txt; printf '[core]\\n\\tfsmonitor = %s\\n' "$EVIL" >.git/more; git config includeIf.onbranch:**.path more
        """,
        "git status",
    ),
    Setup(
        "configuration of the worktree",
        """
        commit work.txt; git config extensions.worktreeConfig true; git config --worktree core.fsmonitor "$EVIL" """,
        "git status",
    ),
    Setup(
        "a Git directory elsewhere by a file",
        """
        commit work.txt; rm -rf "$tree.git"; mv .git "$tree.git"; echo "gitdir: $tree.git" >.git
        git config core.fsmonitor "$EVIL" """,
        "git status",
    ),
    Setup(
        "a Git directory elsewhere by a link",
        """
        commit work.txt; rm -rf "$tree.git"; mv .git "$tree.git"; ln -s "$tree.git" .git; git config core.fsmonitor "$EVIL" """,
        "git status",
    ),
    Setup(
        "a common directory elsewhere",
        """
        commit work.txt; rm -rf "$tree.git"; cp -R .git "$tree.git"; git --git-dir="$tree.git" config core.fsmonitor "$EVIL"
        echo "$tree.git" >.git/commondir""",
        "git status",
    ),
    Setup(
        "a nested repository",
        """
        commit work.txt; git init -q nested; cd nested; commit inner; git config core.fsmonitor "$EVIL" """,
        "git add -A; git status",
    ),
    Setup(
        "a submodule",
        """
        commit work.txt; git init -q -b main "$KEPT/parts"; (cd "$KEPT/parts"; echo theirs >file; git add file; git commit -q -m theirs)
        git -c protocol.file.allow=always submodule --quiet add "$KEPT/parts" parts; rm -rf "$KEPT/parts"
        git -C parts config core.fsmonitor "$EVIL" """,
        "git status",
    ),
    Setup(
        "a bare repository in the tree",
        """
        git init -q --bare sub; git -C sub config core.fsmonitor "$EVIL"; git -C sub config core.bare false
        git -C sub config core.worktree .; touch sub/refs/.keep sub/objects/.keep; commit work.txt""",
        "cd sub; git status",
        lands=("work.txt", "sub/*", "sub/hooks/*", "sub/info/*"),
    ),
    Setup(
        "an editor, a pager and a signing program",
        """
        commit work.txt; git config core.editor "$EVIL"; git config core.pager "$EVIL"; git config gpg.program "$EVIL"
        git config sequence.editor "$EVIL"; git config commit.gpgSign true""",
        "git -p log; git commit --amend; git commit -q -m signed --allow-empty; git rebase -i HEAD~1",
    ),
    Setup("a diff program", 'commit work.txt; git config diff.external "$EVIL"; echo more >>work.txt', "git diff"),
    Setup(
        "a text conversion",
        """
        commit work.txt; echo "* diff=evil" >.git/info/attributes; git config diff.evil.textconv "$EVIL"; echo more >>work.txt""",
        "git diff",
    ),
    Setup(
        "a merge driver",
        """
        commit work.txt; echo "* merge=evil" >.git/info/attributes; git config merge.evil.driver "$EVIL"
        git checkout -q -b other HEAD~1; echo other >work.txt; git add work.txt; git commit -q -m other; git checkout -q -""",
        "git merge other",
    ),
    Setup(
        "a signature that is shown",
        """
        commit work.txt; git cat-file commit HEAD | sed '/^committer/a gpgsig -----BEGIN PGP SIGNATURE-----\\n \\n -----END PGP SIGNATURE-----' |
            git hash-object -t commit -w --stdin >"$KEPT/id"; git update-ref HEAD "$(cat "$KEPT/id")"; keep_commits
        git config log.showSignature true; git config gpg.program "$EVIL" """,
        "git log -1",
    ),
    Setup("an alias", 'commit work.txt; git config alias.st "!$EVIL"', "git st"),
    Setup("a command for borrowed refs", 'commit work.txt; git config core.alternateRefsCommand "$EVIL"', "git fetch origin"),
    Setup(
        "a promisor's upload-pack",
        """
        commit work.txt; git config extensions.partialClone origin; git config core.repositoryFormatVersion 1
        git config remote.origin.promisor true; git config remote.origin.uploadpack "$EVIL quit"
        echo $TOKEN | git hash-object -w --stdin >"$KEPT/id"; git update-index --add --cacheinfo 100644,$(cat "$KEPT/id"),promised
        git commit -q -m promised; rm .git/objects/$(sed 's,..,&/,' "$KEPT/id")""",
        "git cat-file blob :promised",
        lands=(),
    ),
    Setup(
        "a transport by a program",
        """
        commit work.txt; git config remote.origin.url "ext::$EVIL quit %S"; git config protocol.ext.allow always""",
        "git fetch origin",
    ),
    Setup(
        "a program for ssh, and one for git",
        """
        commit work.txt; git config core.sshCommand "$EVIL quit"; git config core.gitProxy "$EVIL"
        git config remote.origin.url ssh://nobody@nowhere.invalid/x; git config remote.other.url git://nowhere.invalid/x""",
        "git fetch origin; git fetch other",
    ),
    Setup(
        "another name for origin",
        """
        commit work.txt; git config url."ext::$EVIL quit ".insteadOf "$(git config remote.origin.url)"
        git config protocol.allow always""",
        "git fetch origin",
    ),
    Setup(
        "a submodule's update",
        """
        commit work.txt; git init -q -b main "$KEPT/parts"; (cd "$KEPT/parts"; echo theirs >file; git add file; git commit -q -m theirs)
        git -c protocol.file.allow=always submodule --quiet add "$KEPT/parts" parts; git commit -q -m parts
        rm -rf "$KEPT/parts"; (cd parts; commit more); git config submodule.parts.update "!$EVIL quit" """,
        "git submodule update",
        lands=(),
    ),
    Setup(
        "a helper for credentials",
        'commit work.txt; git config credential.helper "$EVIL"',
        "printf 'protocol=https\\nhost=nowhere.invalid\\n\\n' | GIT_TERMINAL_PROMPT=0 git credential fill",
    ),
    Setup(
        "maintenance",
        """
        commit work.txt; git config gc.autoPackLimit 1; git config gc.autoDetach false; mkdir -p .git/hooks
        cp "$EVIL" .git/hooks/pre-auto-gc; git repack -q; git branch -f more $(git commit-tree -m more -p HEAD HEAD^{tree}); git repack -q""",
        "git gc --auto",
    ),
)


@pytest.mark.parametrize("setup", IN_A_WORKTREE, ids=str)
def test_nothing_that_an_agent_planted_is_executed(ground, tally, setup):
    tally.control(setup, *executes(ground, setup))
    agents_worktree(ground, setup)
