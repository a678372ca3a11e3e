"""Which files of a repository a gate's command is made of.

A change that may edit these files can weaken the gate that judges it, so `init` protects them. The search covers the
command itself and, one step further, the scripts and makefiles that it calls. The result is a guess from text, for a
person to check: what a program does with its arguments is not known.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial

Read = Callable[[str], str | None]
"""A function that returns the text of a file of the repository, or None if there is no such file."""

MANIFESTS = frozenset(
    (
        "package.json",
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "Cargo.toml",
        "go.mod",
        "pom.xml",
        "build.gradle",
        "build.gradle.kts",
        "CMakeLists.txt",
        "Gemfile",
        "composer.json",
        "deno.json",
    )
)
"""Files that gates read and that ordinary work changes, such as for a new dependency or a new file."""

CONFIGURED = {
    "make": (("GNUmakefile", "makefile", "Makefile"),),
    "gmake": (("GNUmakefile", "makefile", "Makefile"),),
    "just": (("justfile", "Justfile", ".justfile"),),
    "task": (("Taskfile.yml", "Taskfile.yaml"),),
    "rake": (("Rakefile",),),
    "tox": (("tox.ini",),),
    "nox": (("noxfile.py",),),
    "pytest": (("pytest.ini", ".pytest.ini", "tox.ini"), ("pyproject.toml",)),
    "pre-commit": ((".pre-commit-config.yaml",),),
    "jest": (("jest.config.js", "jest.config.ts", "jest.config.mjs", "jest.config.cjs", "jest.config.json"),),
    "vitest": (("vitest.config.ts", "vitest.config.js", "vitest.config.mts", "vitest.config.mjs"),),
    "mocha": ((".mocharc.json", ".mocharc.js", ".mocharc.cjs", ".mocharc.yml", ".mocharc.yaml"),),
    "cargo": ((".cargo/config.toml",), ("Cargo.toml",)),
    "bazel": ((".bazelrc",),),
    "npm": (("package.json",),),
    "yarn": (("package.json",),),
    "pnpm": (("package.json",),),
    "bun": (("package.json",),),
    "mvn": (("pom.xml",),),
    "gradle": (("build.gradle", "build.gradle.kts"),),
    "go": (("go.mod",),),
    "ctest": (("CMakeLists.txt",),),
    "docker": (("Dockerfile",), ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")),
}
"""The kinds of files that each program reads: for each kind the names, of which the first that exists counts."""

FILED = frozenset(("make", "gmake", "just", "task", "docker"))
"""Programs that take the name of such a file by -f."""
CI = (".ci/", "ci/", ".circleci/", ".github/", ".gitlab", ".buildkite/")
SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh"))
INTERPRETERS = frozenset(("node", "ruby", "perl", "php", "deno", "lua", "Rscript", "ts-node", "tsx"))
WRAPPERS = {
    "env": 0,
    "time": 0,
    "exec": 0,
    "command": 0,
    "nohup": 0,
    "nice": 0,
    "sudo": 0,
    "xvfb-run": 0,
    "npx": 0,
    "timeout": 1,
    "uv": 1,
    "poetry": 1,
    "pdm": 1,
    "hatch": 1,
    "pipenv": 1,
    "rye": 1,
    "bundle": 1,
}
"""Programs that run the rest of their words, and how many of these words are their own."""

_PYTHON = re.compile(r"python[0-9.]*|pypy[0-9.]*")
_KEYWORDS = frozenset(("if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "for", "case", "esac"))
_ENDS = frozenset((";", "&&", "||", "|", "&", "(", ")", "\n", ";;", "|&"))
_SAFE = re.compile(r"[\w@+~-][\w@+~. /-]*|\.[\w@+~-][\w@+~. /-]*")
"""A path without special meaning in a glob, which needs no escape in YAML except quotes."""


def gate_files(command: str, read: Read) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (files to protect, manifests that are read too), both sorted."""
    first = dict.fromkeys(_called(command, read, ""))
    found = dict(first)
    for path in first:
        for line in _lines(path, read(path) or "", command):
            found.update(dict.fromkeys(_called(line, read, posixpath.dirname(path))))
    safe = sorted(path for path in found if _SAFE.fullmatch(path))
    return (
        tuple(path for path in safe if posixpath.basename(path) not in MANIFESTS),
        tuple(path for path in safe if posixpath.basename(path) in MANIFESTS),
    )


def _called(command: str, read: Read, beside: str) -> Iterator[str]:
    """Yield the files that the words of a command name, and those that its programs read without being told."""
    at = ""
    for words in _simple_commands(command):
        if words[0] == "cd" and len(words) == 2:
            at = _below(at, words[1])
        elif at:
            yield from (_below(at, path) for path in _of_words(words, partial(_read_below, read, at), beside))
        else:
            yield from _of_words(words, read, beside)


def _below(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def _read_below(read: Read, folder: str, path: str) -> str | None:
    return read(_below(folder, path))


def _simple_commands(command: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(command.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "", True
    words: list[str] = []
    try:
        tokens = list(lexer)
    except ValueError:
        tokens = command.split()
    for token in [*tokens, ";"]:
        if token in _ENDS:
            if words:
                yield words
            words = []
        elif words or (token not in _KEYWORDS and not re.match(r"[A-Za-z_]\w*=", token)):
            words.append(token)


def _of_words(words: list[str], read: Read, beside: str) -> Iterator[str]:
    program, rest = words[0], words[1:]
    name = posixpath.basename(program)
    if name in WRAPPERS and (inner := _inner(rest, WRAPPERS[name])):
        yield from _of_words(inner, read, beside)
        return
    if "/" in program:
        yield from _there(program, read, beside)
    if name in SHELLS or name in (".", "source") or name in INTERPRETERS:
        yield from _script(name, rest, read, beside)
    elif _PYTHON.fullmatch(name) or name == "coverage":
        yield from _python(rest[name == "coverage" :], read, beside)
    yield from (path for word in rest if word.startswith(CI) for path in _there(word, read, beside))
    folder = _option(rest, "-C", "--directory") or ""
    if name in FILED and (named := _option(rest, "-f", "--file", "--makefile", "--justfile")):
        yield from _there(posixpath.join(folder, named), read, beside)
    else:
        for names in CONFIGURED.get(name, ()):
            paths = [posixpath.normpath(posixpath.join(folder, each)) for each in names]
            there = [n for n, path in enumerate(paths) if read(path) is not None]
            # A file that comes before the existing one takes its place as soon as a change adds it.
            yield from paths[: there[0] + 1] if there else ()
    if name in ("gradlew", "mvnw"):
        yield from (
            path
            for path in ("gradle/wrapper/gradle-wrapper.properties", ".mvn/wrapper/maven-wrapper.properties")
            if read(path) is not None
        )
    for named in (_option(rest, "--config", "--config-file", "--rcfile", "--conf"), _option(rest, "-c")):
        if named and name not in SHELLS:
            yield from _there(named, read, beside)


def _inner(rest: list[str], own: int) -> list[str]:
    """Return the words that a wrapper runs: those behind its options, its assignments and `own` words."""
    while rest and (rest[0].startswith("-") or "=" in rest[0].split("/")[0]):
        value = rest[0] in ("-n", "-k", "-s", "-u", "-p") and len(rest) > 1
        rest = rest[2 if value else 1 :]
    return rest[own:]


def _script(name: str, rest: list[str], read: Read, beside: str) -> Iterator[str]:
    """Yield the file that a shell or an interpreter runs, or the files of what its -c runs."""
    for n, word in enumerate(rest):
        if name in SHELLS and re.fullmatch(r"-[a-z]*c", word):
            yield from _called(" ".join(rest[n + 1 : n + 2]), read, beside)
            return
        if not word.startswith(("-", "+")) and (name != "deno" or word not in ("run", "test")):
            yield from _there(word, read, beside)
            return


def _python(rest: list[str], read: Read, beside: str) -> Iterator[str]:
    if "-m" in rest[:4]:
        module, *more = rest[rest.index("-m") + 1 :] or [""]
        path = module.replace(".", "/")
        yield from _of_words([module, *more], read, beside) if module and "/" not in module else ()
        yield from (each for each in (path + ".py", path + "/__main__.py") if module and read(each) is not None)
        return
    yield from _script("python", rest, read, beside)


def _there(word: str, read: Read, beside: str) -> Iterator[str]:
    """Yield the file that a word names, seen from the folder of the script that has the word, or from the top.

    A variable in the word is taken for the folder of the script, because its value is not known.
    """
    tail = re.sub(r".*[$)}\"'`][^/]*/", "", word) if "$" in word or "`" in word else word
    for folder in dict.fromkeys((beside, "")):
        path = posixpath.normpath(posixpath.join(folder, tail))
        if tail and not path.startswith(("/", "..")) and path != "." and read(path) is not None:
            yield path
            return


def _option(words: list[str], *names: str) -> str | None:
    for n, word in enumerate(words):
        if word in names and n + 1 < len(words):
            return words[n + 1]
        for name in names:
            if name.startswith("--") and word.startswith(name + "="):
                return word[len(name) + 1 :]
    return None


def _lines(path: str, text: str, command: str) -> Iterator[str]:
    """Yield the commands that a file holds, as far as its kind is known."""
    name = posixpath.basename(path)
    if name == "package.json":
        yield from _scripts(text, command)
    elif name.lower().endswith(("makefile", ".mk")):
        yield from _recipes(text)
    elif name == "tox.ini":
        yield from (re.sub(r"^[\w ]*=", "", line).strip().lstrip("-") for line in text.splitlines())
    elif re.match(r"#!.*\b(?:ba|da|z|k)?sh\b", text) if text.startswith("#!") else "." not in name or name.endswith("sh"):
        yield from (line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#"))


def _scripts(text: str, command: str) -> Iterator[str]:
    """Yield the scripts of package.json that the command names, and `test`, which may run without being named."""
    try:
        scripts = json.loads(text).get("scripts", {})
    except (ValueError, AttributeError):
        return
    words = {word for words in _simple_commands(command) for word in words} | {"test"}
    for name, line in scripts.items() if isinstance(scripts, dict) else ():
        if isinstance(line, str) and name.removeprefix("pre").removeprefix("post") in words:
            yield line


def _recipes(text: str) -> Iterator[str]:
    """Yield the commands of all recipes of a makefile, and `source` with each file that it includes.

    All recipes count, because only make knows which targets need which others.
    """
    values = dict(re.findall(r"^(\w+)\s*[:?]?=\s*(.*?)\s*$", text, re.MULTILINE))
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("\t"):
            bare = line.strip().lstrip("@-+")
            yield re.sub(r"\$[({](\w+)[)}]", lambda found: "make" if found[1] == "MAKE" else values.get(found[1], found[0]), bare)
        elif line.startswith(("include ", "-include ")):
            yield from ("source " + word for word in line.split()[1:])
