"""Large files of Git LFS go to a remote before the commits that name them.

Git LFS does that in a pre-push hook, and pushes of ours run no hooks. Without it, the remote has commits that nobody can check
out. A repository that keeps no such files pays nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from agentctl.git import process
from agentctl.git.process import GitError

POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize \d+\n")
LARGEST = 1024
"""Bytes of the largest file that may be a pointer, as Git LFS has it."""
LIMIT = 1800.0
"""Seconds that an upload may take."""
MANY = 500
"""The objects that one command uploads."""
_ASIDE = re.compile(r"(?m)^(?:warning: |Uploading LFS objects: |Errors logged to |Use `git lfs logs ).*\n?")
"""What Git LFS says besides the cause: how far it came, and where its log of this time lies."""


def upload(git_dir: str, cwd: str, remote: str, new: Iterable[str], known: Iterable[str]) -> None:
    """Upload the large files that commits `new` name and that are here; raise GitError or Timeout.

    Git is called in the folder `cwd`. `known` are commits that the remote has, besides those that were seen there.
    """
    objects = os.path.join(_storage(git_dir), "objects")
    if not os.path.isdir(objects):
        return
    here = [
        oid for oid in _pointers(git_dir, remote, new, known) if os.path.isfile(os.path.join(objects, oid[:2], oid[2:4], oid))
    ]
    for begin in range(0, len(here), MANY):
        words = ["lfs", "push", "--object-id", remote, *here[begin : begin + MANY]]
        done = process.called_as_user(words, cwd=cwd, env={"GIT_DIR": git_dir, "GIT_TERMINAL_PROMPT": "0"}, limit=LIMIT)
        if done.returncode:
            said = done.stderr.decode(errors="replace") or process.decoded(done)
            raise GitError(words[:4], done.returncode, _ASIDE.sub("", said))


def _storage(git_dir: str) -> str:
    told = process.as_user(["config", "--get", "lfs.storage"], cwd=git_dir, ok=(0, 1)).strip()
    return os.path.join(git_dir, os.path.expanduser(told) or "lfs")


def _pointers(git_dir: str, remote: str, new: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the names of the large files of these commits that the remote may lack."""
    seen = ["--not", "--glob=refs/agentctl-seen/*", f"--remotes={remote}", *known]
    listed = process.run(
        ["rev-list", "--objects", "--no-object-names", "--filter=object:type=blob", "--ignore-missing", *new, *seen],
        git_dir=git_dir,
    )
    sizes = process.run(
        ["cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)"], git_dir=git_dir, stdin=listed.stdout
    )
    rows = (line.split() for line in sizes.stdout.splitlines())
    small = [row[2] for row in rows if len(row) == 3 and row[0] == b"blob" and int(row[1]) <= LARGEST]
    if not small:
        return []
    read = process.run(["cat-file", "--batch"], git_dir=git_dir, stdin=b"".join(oid + b"\n" for oid in small))
    return list(dict.fromkeys(found[1].decode() for found in POINTER.finditer(read.stdout)))
