"""The part of a tree that globs choose is what one finds by looking at every file."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.core.text import globs
from agentctl.git import objects as module
from agentctl.git.objects import EMPTY_TREE, Objects
from tests.support.hub import git

NAMES = st.sampled_from(["a", "b", "ab", "a-b", "b.c"])
WORDS = st.sampled_from(["a", "b", "a*", "?", "[ab]", "*", "**", "*.c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(WORDS, min_size=1, max_size=4).map("/".join)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    path = tmp_path_factory.mktemp("objects")
    git(path, "init", "-q", "--bare", ".")
    return Objects(str(path))


@st.composite
def trees(draw):
    """Files by path, none of which is a directory of another."""
    files = draw(st.dictionaries(PATHS, st.sampled_from([b"1", b"2"]), max_size=8))
    return {path: data for path, data in files.items() if not any(other.startswith(path + "/") for other in files)}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=trees(), patterns=st.lists(PATTERNS, min_size=1, max_size=3, unique=True).map(tuple))
def test_a_part_is_the_tree_of_the_files_that_match(objects, tree, patterns):
    chosen = {path: data for path, data in tree.items() if any(globs.matches(p, path) for p in patterns)}
    whole = objects.replace(EMPTY_TREE, tree) if tree else EMPTY_TREE
    assert objects.part(whole, patterns) == (objects.replace(EMPTY_TREE, chosen) if chosen else EMPTY_TREE)


@given(patterns=st.lists(PATTERNS, min_size=1, max_size=3).map(tuple), name=NAMES, path=PATHS)
def test_what_is_below_a_directory_is_matched_there_as_from_the_top(patterns, name, path):
    inner = globs.below(patterns, name)
    assert any(globs.matches(p, path) for p in inner) == any(globs.matches(p, f"{name}/{path}") for p in patterns)


def test_only_what_differs_is_looked_into(objects, monkeypatch):
    files = {f"{folder}/{n}/file": b"x" for folder in ("src", "docs", "other") for n in range(50)}
    first = objects.replace(EMPTY_TREE, files)
    second = objects.replace(first, {"src/7/file": b"y", "other/9/file": b"y"})
    patterns = ("src/*/file", "docs/**")
    before = objects.part(first, patterns)
    looked = []
    monkeypatch.setattr(Objects, "tree", lambda self, oid, tree=Objects.tree: looked.append(oid) or tree(self, oid))
    assert objects.part(second, patterns) != before
    # The top, src and src/7.
    assert len(looked) == 3
    assert objects.part(objects.replace(second, {"other/new": b"z"}), patterns) == objects.part(second, patterns)


def test_below_the_limit_of_depth_a_part_is_taken_whole(objects, monkeypatch):
    monkeypatch.setattr(module, "DEEP", 2)
    trees = [objects.replace(EMPTY_TREE, {"a/b/c/x": b"1", "a/b/c/other": data}) for data in (b"1", b"2")]
    assert objects.part(trees[0], ("a/b/c/x",)) != objects.part(trees[1], ("a/b/c/x",))
