import dataclasses
import os
import subprocess
from itertools import count, repeat

import pytest

from agentctl.core.policy.policy import parse
from agentctl.core.queue.admission_rules import REPORTED, ChangedFile, check
from agentctl.core.text.globs import matches
from agentctl.core.text.printable import printable

LIMITS = parse("version: 1\ngates: [{name: t, run: t}]", "p").limits
FILE, PROGRAM, LINK, GITLINK = 0o100644, 0o100755, 0o120000, 0o160000


def refusals(*entries, protect=(), **limits):
    return check(entries, dataclasses.replace(LIMITS, **limits), protect)


def named(*paths, **options):
    return refusals(*(ChangedFile(path, FILE) for path in paths), **options)


def link(path, target):
    return refusals(ChangedFile(path, LINK, 1, target))


def test_honest_changes_are_admitted():
    entries = [
        ChangedFile("src/a.py", FILE, 10),
        ChangedFile(b"src/\xff\xfe.bin", PROGRAM, 10),
        ChangedFile("docs/Ünï cöde (1) 'x' 👩\u200d🚀.md", FILE),
        ChangedFile("bin/tool", LINK, 1, "../src/a.py"),
        ChangedFile("a/b/link", LINK, 1, b"../../src"),
        ChangedFile(".gitignore", FILE),
        ChangedFile("git", FILE),
        ChangedFile("a.git", FILE),
        ChangedFile("git~2", FILE),
        ChangedFile("...", FILE),
    ]
    assert check(entries, LIMITS, [".agentctl/**"]) == []


@pytest.mark.parametrize(
    "name",
    [".git", ".GIT", ".Git", ".git.", ".git ", ".git. .", "git~1", "GIT~1", "git~1.", ".g\u200cit"]
    + [".\u200cgit", ".git\ufeff", ".git:x", ".git::$INDEX_ALLOCATION", ".git\\config", "x\\.git"],
)
@pytest.mark.parametrize("place", ["{}", "{}/config", "sub/{}", "sub/{}/hooks/x"])
def test_aliases_of_git(name, place):
    assert any("take for .git" in line for line in named(place.format(name)))


def test_whatever_git_itself_would_not_check_out_is_refused(tmp_path):
    names = [".git", ".Git/x", "a/.git", ".git ", ".git.", "git~1", "a/GIT~1/b", ".g\u200cit", "a/../b"]
    names += [".git\\x", "a\\.git\\x", ".git::$INDEX_ALLOCATION/x", "./a", "a//b", "/a", ".git . ."]
    names += ["\u206a.git", ".gi\u200et", "ok", "git~12", ".gitx", ".git~1", "a/.gitignore", "..."]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    git = ["git", "-c", "core.protectHFS=true", "-c", "core.protectNTFS=true"]
    run = {"cwd": tmp_path, "env": env, "capture_output": True, "check": False}
    assert subprocess.run([*git, "init", "-q"], **run).returncode == 0
    blob = subprocess.run([*git, "hash-object", "-w", "--stdin"], input=b"x", **run).stdout.decode()
    refused = []
    for name in names:
        entry = f"100644,{blob.strip()},{name}"
        done = subprocess.run([*git, "update-index", "--add", "--cacheinfo", entry], **run)
        if done.returncode:
            refused.append(name)
            assert named(name), name
    assert {".Git/x", "git~1", ".g\u200cit", ".git\\x", "a//b"} <= set(refused)
    assert "ok" not in refused


@pytest.mark.parametrize("path", ["/a", "a//b", "a/", "", "./a", "a/../b", ".."])
def test_components_that_are_no_names(path):
    assert any("an empty, . or .. component" in line for line in named(path))


@pytest.mark.parametrize("char", ["\n", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\u2028"])
def test_control_characters_are_refused_and_not_printed(char):
    [line] = named(f"a{char}b")
    assert line.endswith("a control character in the name")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("one", "two"),
    [("README", "readme"), ("é", "e\u0301"), ("É", "é"), ("straße", "STRASSE"), ("a/x", "A/y")]
    + [("a", "A/y"), ("d/a/x", "d/A"), ("a\u200cb", "ab"), ("k", "\u212a")],
)
def test_collisions(one, two):
    [line] = named(one, two)
    assert "the same name as" in line
    assert named(two, one)


def test_a_collision_of_directories_is_told_once():
    assert len(named("a/0", *(f"A/{i}" for i in range(20)))) == 1


def test_a_rename_that_alters_only_the_case_is_no_collision():
    assert refusals(ChangedFile("readme", FILE, deleted=True), ChangedFile("README", FILE)) == []


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/etc/passwd", "absolute"),
        ("\\\\host\\x", "absolute"),
        ("C:\\x", "absolute"),
        ("../../x", "leaves the tree"),
        ("x/../../../y", "leaves the tree"),
        ("x/../y", "after a name"),
        ("..", None),
        (".", None),
        ("../sibling", None),
        ("./../sibling", None),
        ("name", None),
        ("...", None),
        ("../.git/hooks", "into .git"),
        ("../.GIT", "into .git"),
        ("", "without a target"),
        (None, "without a target"),
        ("x" * 2000, "longer"),
    ],
)
def test_symbolic_links(target, rule):
    found = link("d/link", target)
    assert (found == []) if rule is None else (len(found) == 1 and rule in found[0])


@pytest.mark.parametrize(
    "path",
    [
        ".gitmodules",
        "a/.gitattributes",
        ".GITMODULES",
        ".gitmodules .",
        "gitmod~1",
        "GI7EBA~4",
        ".g\u200citignore",
        "a/.mailmap",
        ".gitmodules:x",
    ],
)
def test_a_link_in_the_place_of_what_git_reads(path):
    assert refusals(ChangedFile(path, LINK, 1, "elsewhere")) == [
        f"{printable(path)}: a symbolic link in the place of a file that Git reads"
    ]
    assert refusals(ChangedFile(path, FILE)) == []


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "d/" + "a" * 255])
def test_a_name_that_a_file_system_takes(name):
    assert named(name) == []
    [line] = named(name + "ü")
    assert line.endswith("more than file systems take (255)")


def test_submodules_only_where_they_are_allowed():
    assert refusals(ChangedFile("sub", GITLINK)) == ["sub: a submodule, which limits.allow_submodules forbids"]
    assert refusals(ChangedFile("sub", GITLINK), allow_submodules=True) == []
    assert refusals(ChangedFile("sub", GITLINK, deleted=True)) == []


@pytest.mark.parametrize("mode", [0, 0o100600, 0o100664, 0o040000, 0o140000])
def test_modes_that_git_does_not_write(mode):
    assert refusals(ChangedFile("a", mode)) == [f"a: mode {mode:o} is not one that Git writes"]


def test_what_is_deleted_may_have_been_bad_but_not_protected():
    assert refusals(ChangedFile("a\n/.git", LINK, deleted=True)) == []
    assert refusals(ChangedFile("p/a", FILE, deleted=True), protect=["p/**"]) == ["p/a: protected by p/**"]


def test_the_limits_are_the_last_value_allowed():
    assert named("a", "b", change_files=2) == []
    assert named("a", "b", "c", change_files=2) == ["c: one file more than limits.change_files (2)"]
    sized = [ChangedFile("a", FILE, 6), ChangedFile("b", FILE, 4), ChangedFile("c", FILE, 99, deleted=True)]
    assert refusals(*sized, change_bytes=10) == []
    assert refusals(*sized, change_bytes=9) == ["b: brings the change over limits.change_bytes (9)"]
    assert named("a/b/c", depth=3) == []
    assert named("a/b/c", depth=2) == ["a/b/c: 3 components, over limits.depth (2)"]
    assert named("éé", b"\xff\xff\xff\xff", path=4) == []
    assert named("ééx", path=4) == ["ééx: a path of 5 bytes, over limits.path (4)"]


def test_a_tree_without_end_is_not_read_to_its_end():
    endless = (ChangedFile(f"f{i}", FILE) for i in count())
    assert "limits.change_files" in check(endless, LIMITS, [])[0]
    assert "limits.change_bytes" in check(repeat(ChangedFile("x", FILE, 1 << 40)), LIMITS, [])[1]


def test_the_list_of_refusals_is_bounded():
    lines = named(*(f".git/{i}" for i in range(1000)))
    assert len(lines) == REPORTED + 1
    assert lines[-1] == "more refusals follow"


def test_hostile_paths_are_not_slow_to_refuse():
    assert "limits.path" in named("a/" * 5_000_000 + "b")[0]


@pytest.mark.parametrize(
    ("pattern", "path", "match"),
    [
        ("a", "a", True),
        ("a", "b/a", False),
        ("a", "a/b", False),
        ("*.py", "x.py", True),
        ("*.py", "d/x.py", False),
        ("*.py", ".py", True),
        ("**/*.py", "x.py", True),
        ("**/*.py", "a/b/x.py", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", True),
        ("a/**", "ab", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/xb", False),
        ("**", "any/thing", True),
        ("**/**", "any", True),
        ("a/**/**/b", "a/b", True),
        ("**/t/**", "x/t/y", True),
        ("**/t/**", "t", True),
        ("a**b", "axxb", True),
        ("a**b", "a/b", False),
        ("?", "a", True),
        ("?", "/", False),
        ("[ab]c", "bc", True),
        ("[!ab]c", "bc", False),
        ("[!ab]c", "xc", True),
        ("a[!b]c", "a/c", False),
        ("a[+-9]c", "a/c", False),
        ("[a-c]", "b", True),
        ("[]]", "]", True),
        ("[z-a]", "b", False),
        ("[", "[", True),
        ("[]", "[]", True),
        ("a.c", "abc", False),
        ("a(b|c)+", "a(b|c)+", True),
        ("*", "a\nb", True),
        ("{a,b}", "a", False),
    ],
)
def test_globs(pattern, path, match):
    assert matches(pattern, path) is match


@pytest.mark.parametrize("path", [".agentctl/policy.yaml", ".agentctl", ".AgentCtl/x", ".agent\u200cctl/x", ".agentctl/a/b"])
def test_protected_under_every_name_a_file_system_takes_for_it(path):
    assert refusals(ChangedFile(path, LINK, 1, "elsewhere"), protect=[".agentctl/**"]) == [
        f"{printable(path)}: protected by .agentctl/**"
    ]


def test_a_protected_pattern_may_itself_have_capitals_or_accents():
    assert named("CAFÉ/x", protect=["Cafe\u0301/**"])
    assert named("makefile", protect=["**/Makefile"])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é", "plain é"),
        (b"\xff\n", "\\xff\\n"),
        ("\u202e", "\\u202e"),
        ("a\\n", "a\\\\n"),
        ("\ud800", "\\ud800"),
        ("x" * 300, "x" * 200 + "..."),
    ],
)
def test_printable(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize("pattern", ["*a" * 8 + "b", "**/" + "a*" * 9 + "b/**", "**/a/" * 9 + "b"])
def test_hostile_names_do_not_make_globs_slow(pattern):
    """Plain backtracking would not end in any test's patience."""
    assert not matches(pattern, "a" * 1000)
    assert not matches(pattern, "a/" * 500 + "c")


def test_a_link_to_what_is_no_path_is_refused():
    for target in ("", None, "a\0b"):
        assert link("d/link", target) == ["d/link: a symbolic link without a target"]


def test_a_collision_names_the_directories_where_it_begins():
    assert named("a/B/x", "a/b/y") == ["a/b: where case and Unicode form do not count, the same name as B"]
