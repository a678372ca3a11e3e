"""How the user's Git turns files into blobs and back: line endings, filters such as Git LFS, ignored files.

A setting that names a program (a filter, a helper for credentials) is taken only from protected configuration, as
git-config(1) calls it: the user's and the system's. A setting that only says how to convert (core.autocrlf) may also
stand in the hub's own configuration. Nothing is taken from a repository that an agent works in.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import time
from collections.abc import Iterable

from agentctl.git import folders, process
from agentctl.git.repository import Hub

PROTECTED = re.compile(
    r"core\.(autocrlf|eol|excludesfile|attributesfile|bigfilethreshold|checkroundtripencoding|precomposeunicode|askpass"
    r"|sshcommand)|(filter|lfs|credential|http|https|url)\..*",
    re.DOTALL,
)
"""Keys that are taken from the user's and the system's configuration."""

OF_THE_HUB = re.compile(
    r"core\.(autocrlf|eol|excludesfile|attributesfile|filemode|symlinks|ignorecase|precomposeunicode)"
    r"|submodule\..*\.url|lfs\.(url|storage)|remote\.lfsdefault|remote\..*\.(url|lfsurl)",
    re.DOTALL,
)
"""Keys that are taken from the hub's own configuration: none of them names a program."""

SESSION = ".agentctl/session"
"""The folder in a worktree that is the session's own, and is never part of a change."""

FRESH = 30.0
"""The most seconds for which settings are not read again: after that, what a person changed in the configuration counts."""

Setting = tuple[str, str]
"""(key, value)."""


def settings(hub: Hub) -> tuple[Setting, ...]:
    """Return the settings that decide the content of the hub's files, in the order in which they must be written."""
    return _settings(hub.git_dir, int(time.monotonic() / FRESH))


@functools.lru_cache(maxsize=8)
def _settings(git_dir: str, moment: int) -> tuple[Setting, ...]:
    listed = process.as_user(["--git-dir=" + git_dir, "config", "--list", "-z", "--show-scope"], cwd=git_dir)
    fields = listed.split("\0")
    found = [("lfs.storage", os.path.join(git_dir, "lfs"))]
    for scope, entry in zip(fields[::2], fields[1::2]):
        key, assigned, value = entry.partition("\n")
        wanted = PROTECTED if scope in ("system", "global") else OF_THE_HUB if scope == "local" else None
        if wanted and wanted.fullmatch(key):
            found.append((key, value if assigned else "true"))
    return tuple(found)


def digest(hub: Hub) -> str:
    """Return a digest that differs if the same blobs could become different files."""
    configured = dict(settings(hub)).get("core.attributesfile")
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    own = folders.content(os.path.expanduser(configured or os.path.join(home, "git/attributes")))
    said = repr((settings(hub), info(hub, "attributes"), own))
    return hashlib.sha1(said.encode(errors="surrogateescape")).hexdigest()


def alien_filters(hub: Hub, config: bytes = b"") -> frozenset[str]:
    """Return the names of the alien filters: those that are defined only in configuration that agents can write.

    This is the hub's own configuration, and that of a private repository, whose content is `config`. Alien filters are
    not run, so nobody here knows what a file under one of them is as a blob, nor what a blob is as a file.
    """
    named = _named(config) if b"filter" in config.lower() else frozenset()
    return (named | _of_hub(hub.git_dir, int(time.monotonic() / FRESH))) - _filters(settings(hub))


@functools.lru_cache(maxsize=8)
def _of_hub(git_dir: str, moment: int) -> frozenset[str]:
    return _named(folders.content(os.path.join(git_dir, "config")) or b"")


def _named(config: bytes) -> frozenset[str]:
    done = process.run(["config", "--file", "-", "--list", "--name-only", "-z"], stdin=config, ok=(0, 1, 128))
    return _filters((key, "") for key in done.stdout.decode(errors="surrogateescape").split("\0"))


def _filters(listed: Iterable[Setting]) -> frozenset[str]:
    return frozenset(key.split(".", 1)[1].rsplit(".", 1)[0] for key, _ in listed if key.startswith("filter."))


def info(hub: Hub, name: str) -> str:
    """Return the content of the hub's info/exclude, with the session's folder, or of its info/attributes.

    It is empty if there is none.
    """
    found = (folders.content(os.path.join(hub.git_dir, "info", name)) or b"").decode(errors="surrogateescape")
    return with_session(found) if name == "exclude" else found


def with_session(exclude: str) -> str:
    """Return the text of an info/exclude that excludes the session's folder, too."""
    line = f"/{SESSION}/"
    return exclude if line in exclude.split("\n") else f"{line}\n{exclude}"


def encoded(listed: tuple[Setting, ...]) -> str:
    """Return the text of a configuration file with these settings."""
    return "".join(_entry(key, value) for key, value in listed)


def _entry(key: str, value: str) -> str:
    section, _, rest = key.partition(".")
    sub, _, name = rest.rpartition(".")
    head = f'[{section} "{_escaped(sub)}"]' if sub else f"[{section}]"
    quoted = _escaped(value).replace("\n", "\\n").replace("\t", "\\t")
    return f'{head}\n\t{name} = "{quoted}"\n'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
