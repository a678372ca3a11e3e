"""Merges and differences in process against Git's own, on small trees of every kind."""

import subprocess
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agentctl.bot.recheck import Step, explained
from agentctl.git import merge as merging
from agentctl.git.merge import changed, merge
from agentctl.git.objects import EMPTY_TREE, EXECUTABLE, FILE, GITLINK, SYMLINK, TREE, ObjectError
from agentctl.git.process import GitError
from tests.support.hub import Repo

NAMES = ("a", "b", "a.c", "d", "d/a", "d/b", "d/e/a", "d/e/b", "x/a", "x/b", "x/e/a", "z")
"""`a`, `d` and `d/e` are files in some trees and directories in others."""
LINES = "".join(f"line {n}\n" for n in range(12))
TEXTS = [LINES, LINES.replace("line 3", "third"), LINES.replace("line 9", "ninth"), LINES + "more\n", "short\n", ""]
COMMIT = "1" * 39

contents = st.one_of(
    st.tuples(st.sampled_from([FILE, FILE, FILE, EXECUTABLE, SYMLINK]), st.sampled_from(TEXTS)),
    st.tuples(st.just(GITLINK), st.sampled_from([COMMIT + "0", COMMIT + "2"])),
)
trees = st.dictionaries(st.sampled_from(NAMES), contents, max_size=8)
edits = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(NAMES), contents),
        st.tuples(st.just("remove"), st.sampled_from(NAMES)),
        st.tuples(st.just("move"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.tuples(st.just("move all"), st.sampled_from(["d", "d/e", "x", "x/e"]), st.sampled_from(["d", "y", "x/e", "y/e"])),
    ),
    max_size=4,
)


def edited(files, steps):
    files = dict(files)
    for kind, name, *more in steps:
        if kind == "write":
            files[name] = more[0]
        elif kind == "remove":
            files.pop(name, None)
        elif kind == "move" and name in files:
            files[more[0]] = files.pop(name)
        elif kind == "move all":
            for path in [p for p in files if p.startswith(name + "/")]:
                files[more[0] + path.removeprefix(name)] = files.pop(path)
    return files


def possible(files):
    return not any(other.startswith(path + "/") for path in files for other in files)


def built(objects, files):
    """The tree that holds `files`: (mode, content) by path."""
    entries, below = {}, {}
    for path, (mode, text) in files.items():
        first, slash, rest = path.partition("/")
        if slash:
            below.setdefault(first, {})[rest] = (mode, text)
        else:
            entries[first.encode()] = (mode, text if mode == GITLINK else objects.write_blob(text.encode()))
    for name, inner in below.items():
        entries[name.encode()] = (TREE, built(objects, inner))
    return objects.write_tree(entries) if entries else EMPTY_TREE


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    path = tmp_path_factory.mktemp("merges")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    return Repo(path).hub


def unless_git_aborts(act):
    """Git 2.39 ends by an assertion where a submodule was moved and a link stands in its old place."""
    try:
        return act()
    except GitError as error:
        assume("Assertion" not in error.stderr)
        raise


quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(trees, edits, edits)
def test_a_merge_is_what_git_makes_of_it(hub, base, one, two):
    sides = [base, edited(base, one), edited(base, two)]
    assume(all(possible(files) for files in sides))
    old, mine, its = (built(hub.objects, files) for files in sides)
    hub.objects.write_tree({})
    try:
        woven = merging._woven(hub.objects, old, mine, its)
    except merging._Entangled:
        return
    git = unless_git_aborts(lambda: merging.by_git(hub, old, mine, its))
    assert (git.tree, git.conflicts) == (woven, ())


@quick
@given(trees, edits, edits, edits)
def test_the_second_way_finds_the_same_and_nothing_else(hub, base, one, two, harm):
    sides = [base, edited(base, one), edited(base, two)]
    assume(all(possible(files) for files in sides))
    old, mine, its = (built(hub.objects, files) for files in sides)
    hub.objects.write_tree({})
    merged = unless_git_aborts(lambda: merge(hub, old, mine, its))
    assume(not merged.conflicts)
    step = Step(old, mine, its, merged.tree)
    assert explained(hub, step) or unless_git_aborts(lambda: merging.by_git(hub, old, mine, its)).tree == merged.tree
    # What is explained path by path is so in one way only.
    there = {path: (mode, oid) for path, mode, oid, _ in changed(hub, EMPTY_TREE, merged.tree)}
    texts = {path: (mode, hub.objects.blob(oid).decode() if mode != GITLINK else oid) for path, (mode, oid) in there.items()}
    spoilt = edited(texts, harm)
    assume(possible(spoilt))
    other = built(hub.objects, spoilt)
    if other != merged.tree and explained(hub, step):
        assert not explained(hub, replace(step, made=other))


@quick
@given(trees, trees)
def test_a_difference_is_what_git_makes_of_it(hub, one, two):
    assume(possible(one) and possible(two))
    old, new = built(hub.objects, one), built(hub.objects, two)
    hub.objects.write_tree({})
    fields = hub.git("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new).split("\0")
    metas = [meta.split(" ") for meta in fields[0::2] if meta]
    expected = [(path, int(m[1], 8), m[3], m[4]) for m, path in zip(metas, fields[1::2])]
    assert list(changed(hub, old, new)) == expected


def files(**texts):
    return {name.replace("__", "/"): (FILE, text) for name, text in texts.items()}


BASE = files(d__a=LINES, d__b="b\n", d__e__a="e\n", top="top\n")
ORDINARY = {
    "files of one directory": ({"d/a": (FILE, "1")}, {"d/b": (FILE, "2")}),
    "new files side by side": ({"d/n": (FILE, "1")}, {"d/m": (FILE, "2")}),
    "a removal beside a change": ({"d/a": None}, {"d/b": (FILE, "2")}),
    "a file moved, and another changed": ({"d/a": None, "y": (FILE, LINES)}, {"d/b": (FILE, "2")}),
    "a directory removed": ({"d/e/a": None}, {"d/b": (FILE, "2")}),
    "the same change to one file": ({"d/a": (FILE, "1"), "n": (FILE, "1")}, {"d/a": (FILE, "1")}),
    "another mode": ({"d/a": (EXECUTABLE, LINES)}, {"d/b": (SYMLINK, "a")}),
    "a file becomes a directory": ({"top": None, "top/n": (FILE, "1")}, {"d/b": (FILE, "2")}),
    "nothing is left of a directory": ({"d/a": None, "d/e/a": None}, {"d/b": None}),
}


def made(objects, changes):
    return built(objects, {path: entry for path, entry in {**BASE, **changes}.items() if entry})


@pytest.mark.parametrize("case", ORDINARY)
def test_what_needs_no_process(hub, case, monkeypatch):
    old, mine, its = built(hub.objects, BASE), *(made(hub.objects, side) for side in ORDINARY[case])
    expected = merging.by_git(hub, old, mine, its)
    monkeypatch.setattr(merging, "run", None)
    assert merge(hub, old, mine, its) == expected


ENTANGLED = {
    "one file changed by both": ({"d/a": (FILE, LINES + "more\n")}, {"d/a": (FILE, "more\n" + LINES)}),
    "moved here, changed there": ({"d/a": None, "y": (FILE, LINES)}, {"d/a": (FILE, LINES + "more\n")}),
    "moved here, removed there": ({"d/a": None, "y": (FILE, LINES)}, {"d/a": None}),
    "moved to two places": ({"d/a": None, "y": (FILE, LINES)}, {"d/a": None, "z": (FILE, LINES)}),
    "a directory moved here, a file added to it there": ({"d/e/a": None, "y/a": (FILE, "e\n")}, {"d/e/n": (FILE, "new\n")}),
    "a file here, a directory there": ({"n": (FILE, "1")}, {"n/n": (FILE, "1")}),
    "added by both": ({"n": (FILE, "1")}, {"n": (FILE, "2")}),
    "content here, mode there": ({"d/a": (FILE, "1")}, {"d/a": (EXECUTABLE, LINES)}),
}


@pytest.mark.parametrize("case", ENTANGLED)
def test_what_is_left_to_git(hub, case):
    old, mine, its = built(hub.objects, BASE), *(made(hub.objects, side) for side in ENTANGLED[case])
    with pytest.raises(merging._Entangled):
        merging._woven(hub.objects, old, mine, its)
    assert merge(hub, old, mine, its) == merging.by_git(hub, old, mine, its)


def test_trees_nested_without_end(hub):
    trees = [EMPTY_TREE, *(hub.objects.write_blob(text) for text in (b"1", b"2", b"3"))]
    trees[1:] = [hub.objects.write_tree({b"f%d" % n: (FILE, oid)}) for n, oid in enumerate(trees[1:])]
    for _ in range(2000):
        trees[1:] = [hub.objects.write_tree({b"d": (TREE, oid)}) for oid in trees[1:]]
    with pytest.raises(ObjectError, match="nested"):
        list(changed(hub, *trees[1:3]))
    with pytest.raises(merging._Entangled):
        merging._woven(hub.objects, *trees[1:])
