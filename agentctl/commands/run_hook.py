"""What the Git hooks decide.

Nothing heavy is imported here, because Git waits for each hook.
"""

from __future__ import annotations

import os
import subprocess
import sys


def run(args: list[str]) -> int:
    """Run `agentctl hook run NAME [ARGS]` and return its exit status.

    0 lets Git go on, 5 refuses, and 2 means that there is no such hook.
    """
    name = args[0] if args else ""
    checks = {
        "pre-commit": pre_commit,
        "pre-push": pre_push,
        "reference-transaction": reference_transaction,
        "pre-receive": pre_receive,
    }
    if name not in checks:
        return _refuse(f"no hook called {name!r}", "agentctl hook status", 2)
    return checks[name]()


def pre_commit() -> int:
    branch, agent = _git("symbolic-ref", "-q", "--short", "HEAD") or _rebased(), os.environ.get("AGENTCTL_AGENT")
    if agent and branch != f"agent/{agent}":
        return _refuse(f"{agent} commits on {branch or 'a detached HEAD'}, not on its own branch", f"git switch agent/{agent}")
    if branch == _trunk():
        hint = "git switch -c NAME, commit, agentctl submit (or git commit --no-verify)"
        if _lags():
            hint = "agentctl doctor --mend checkout: its files are older than trunk, and a commit would undo what landed since"
        return _refuse(f"a commit on {branch} goes around the merge queue", hint)
    return 0


def _lags() -> bool:
    """Tell whether the checkout was kept from following its branch.

    It was if the index still has an older entry of some path: the entry that one of the 20 commits below HEAD has,
    where a newer commit changed it.
    """
    for past in _git("rev-list", "--first-parent", "-n20", "--skip=1", "HEAD").split():
        landed = set(_git("diff-tree", "-r", "-z", "--raw", "--no-renames", "--abbrev=40", "HEAD", past).split(":"))
        if landed & set(_git("diff-index", "--cached", "-z", "--raw", "--no-renames", "--abbrev=40", "HEAD").split(":")) - {""}:
            return True
    return False


def pre_push() -> int:
    return _refuse("an agent's session does not push", "commit, and exit: the merge queue does the rest")


def reference_transaction() -> int:
    trunk = "refs/heads/" + _trunk()
    for line in sys.stdin.buffer:
        if os.fsdecode(line).split()[-1:] == [trunk]:
            return _refuse(f"only the merge queue moves {trunk}", "agentctl submit (or agentctl hook uninstall)")
    return 0


def pre_receive() -> int:
    """Refuse a push that goes around the merge queue, as a whole.

    Trunk moves forward only, and only together with the ledger, as a landing does; or back to where the ledger says that the bot
    left it. Where `git config agentctl.botUser` names
    users, only they push what the bot alone writes.
    """
    trunk = "refs/heads/" + _trunk()
    moves = {
        ref: (old, new) for old, new, ref in (os.fsdecode(line).split(" ", 2) for line in sys.stdin.buffer.read().splitlines())
    }
    bots, who = _git("config", "--get-all", "agentctl.botUser").split("\n"), _pusher()
    restored = trunk in moves and LEDGER not in moves and moves[trunk][1] == _left_at()
    for ref, (old, new) in moves.items():
        if ref != trunk and not ref.startswith(BOTS_OWN):
            continue
        if bots != [""] and who not in bots:
            return _refuse(f"only the merge queue's bot pushes {ref}, and {who or 'nobody'} is not it", "agentctl submit")
        if set(new) == {"0"} and ref in (trunk, LEDGER):
            return _refuse(f"{ref} is not deleted", "agentctl bot adopt, where it was meant")
        if ref in (trunk, LEDGER) and not restored and set(old) != {"0"} and _git("merge-base", old, new) != old:
            return _refuse(f"{ref} only moves forward", "git pull, and agentctl submit")
    if trunk in moves and LEDGER not in moves and not restored:
        return _refuse(f"a push to {trunk} goes around the merge queue", "agentctl submit")
    return 0


LEDGER = "refs/agentctl/state"
BOTS_OWN = (LEDGER, "refs/agentctl/verdicts", "refs/agentctl/outbox/", "refs/agentctl/bot")


def _left_at() -> str:
    """Return the commit at which the bot left trunk, by the ledger; empty if there is none."""
    import json

    try:
        return str(json.loads(_git("cat-file", "blob", f"{LEDGER}:meta.json"))["trunk"])
    except (ValueError, KeyError, TypeError):
        return ""


def _pusher() -> str:
    """Return who pushes, by what servers of Git say of it: gitolite, GitLab, Gitea, a web server, or else the user."""
    names = ("GL_USER", "GL_USERNAME", "GITEA_PUSHER_NAME", "REMOTE_USER", "USER", "LOGNAME")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _trunk() -> str:
    return _git("config", "agentctl.trunk") or "main"


def _rebased() -> str:
    """Return the branch that the rebase under way will move, or an empty string."""
    for folder in ("rebase-merge", "rebase-apply"):
        try:
            with open(os.path.join(_git("rev-parse", "--git-path", folder), "head-name"), errors="replace") as file:
                return file.read().strip().removeprefix("refs/heads/")
        except OSError:
            continue
    return ""


def _git(*args: str) -> str:
    return os.fsdecode(subprocess.run(["git", *args], capture_output=True).stdout).strip()


def _refuse(message: str, hint: str, status: int = 5) -> int:
    from agentctl.core.text.printable import visible

    print(visible(f"agentctl: {message}\nhint: {hint}"), file=sys.stderr)
    return status
