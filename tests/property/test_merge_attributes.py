"""Merges that .gitattributes decide, against `git merge` in a checkout."""

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.git import merge_attributes
from agentctl.git.merge import by_git, merge
from agentctl.git.objects import FILE, SYMLINK
from tests.property.test_merge import LINES, built
from tests.support.hub import Repo

NAMES = ("log.md", "d/log.md", "d/e/log.md", "d/e/x.txt", 'd/odd "name\\*.md', "ümlaut.md")
PATTERNS = (
    "*.md",
    "log.md",
    "/log.md",
    "d/*.md",
    "d/**",
    "**/log.md",
    "x.txt",
    '"d/odd \\"name*"',
    "[attr]mine",
    "*",
    "\\#log.md",
    "e/",
)
ATTRIBUTES = (
    "merge=union",
    "-merge",
    "merge",
    "!merge",
    "binary",
    "merge=binary",
    "merge=text",
    "merge=ours",
    "mine",
    "conflict-marker-size=9",
    "diff=x merge=union",
)
WHERE = (".gitattributes", "d/.gitattributes", "d/e/.gitattributes")

rules = st.lists(st.tuples(st.sampled_from(PATTERNS), st.sampled_from(ATTRIBUTES)), max_size=3).map(
    lambda lines: "".join(f"{pattern} {words}\n" for pattern, words in lines)
)
edits = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from(["more", "top", "middle", "remove", "other"]), min_size=1, max_size=4
)
moves = st.none() | st.sampled_from([("d/log.md", "d/e/moved.md"), ("log.md", "d/moved.txt")])


def edited(files, steps, word, move=None):
    files = dict(files)
    for name, kind in steps.items():
        text = files[name][1]
        new = {
            "more": text + word + "\n",
            "top": word + "\n" + text,
            "middle": text.replace("line 6", word),
            "other": text.replace(f"line {len(word)}", word),
        }.get(kind)
        if new is None:
            del files[name]
        else:
            files[name] = (FILE, new)
    if move and move[0] in files:
        files[move[1]] = files.pop(move[0])
    return files


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    path = tmp_path_factory.mktemp("attributes")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    for key, value in (("user.name", "x"), ("user.email", "x@x"), ("core.autocrlf", "false"), ("gc.auto", "0")):
        subprocess.run(["git", "config", key, value], cwd=path, check=True)
    return Repo(path)


def merged_by_git(repo, base, ours, theirs):
    """(tree, whether it was clean) of `git merge` where `ours` is checked out."""
    run = {"cwd": repo.path, "capture_output": True}
    root = repo.hub.objects.write_commit(base, (), "base", 1)
    left, right = (repo.hub.objects.write_commit(tree, [root], "side", 1) for tree in (ours, theirs))
    subprocess.run(["git", "checkout", "-q", "-f", "--detach", left], check=True, **run)
    subprocess.run(["git", "clean", "-ffdxq"], check=True, **run)
    done = subprocess.run(["git", "merge", "-q", "--no-edit", "-m", "x", right], **run)
    if done.returncode:
        assert subprocess.run(["git", "ls-files", "-u"], **run).stdout, done.stdout + done.stderr
        subprocess.run(["git", "merge", "--abort"], **run)
        return None
    return subprocess.run(["git", "rev-parse", "HEAD^{tree}"], check=True, **run).stdout.decode().strip()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(WHERE), rules, max_size=3), edits, edits, moves, moves, st.booleans())
def test_a_merge_is_what_git_makes_of_it_in_a_checkout(repo, rules, one, two, move, other, rewritten):
    base = {name: (FILE, LINES) for name in NAMES} | {name: (FILE, text) for name, text in rules.items()}
    sides = [base, edited(base, one, "ours", move), edited(base, two, "their own", other)]
    if rewritten:
        # The attributes that count are those of our side.
        sides[2][".gitattributes"] = (FILE, "* merge=union\n")
    old, mine, its = (built(repo.hub.objects, files) for files in sides)
    expected = merged_by_git(repo, old, mine, its)
    found = merge(repo.hub, old, mine, its)
    assert (found.tree if not found.conflicts else None) == expected


def trees(repo, rules, ours, theirs, name="log.md", extra=None):
    files = {name: (FILE, LINES), **(extra or {})}
    if rules is not None:
        files[".gitattributes"] = rules if isinstance(rules, tuple) else (FILE, rules)
    return [built(repo.hub.objects, {**files, name: (FILE, text)}) for text in (LINES, ours, theirs)]


def test_union_takes_both_sides_and_no_rule_takes_neither(repo):
    union = merge(repo.hub, *trees(repo, "*.md merge=union\n", LINES + "one\n", LINES + "two\n"))
    assert not union.conflicts and repo.hub.objects.read(union.tree, "log.md").decode() == LINES + "one\ntwo\n"
    assert merge(repo.hub, *trees(repo, None, LINES + "one\n", LINES + "two\n")).conflicts == ("log.md",)
    # What would merge by itself does not where it must not be merged.
    ours, theirs = LINES.replace("line 1\n", "1\n"), LINES.replace("line 9\n", "9\n")
    assert not merge(repo.hub, *trees(repo, None, ours, theirs)).conflicts
    for rule in ("-merge", "binary", "merge=binary"):
        assert merge(repo.hub, *trees(repo, f"*.md {rule}\n", ours, theirs)).conflicts == ("log.md",)


def test_no_driver_is_run_whoever_names_it(repo, tmp_path):
    mark = tmp_path / "ran"
    repo.git("config", "merge.mine.driver", f"touch {mark}; exit 0")
    ours, theirs = LINES.replace("line 1\n", "1\n"), LINES.replace("line 9\n", "9\n")
    sides = trees(repo, "*.md merge=mine\n", ours, theirs)
    # A control: Git in the checkout runs it.
    merged_by_git(repo, *sides)
    assert mark.exists()
    mark.unlink()
    found = merge(repo.hub, *sides)
    assert not mark.exists() and not found.conflicts
    repo.git("config", "--unset", "merge.mine.driver")


def test_a_link_is_no_file_of_attributes(repo):
    extra = {"rules": (FILE, "*.md merge=union\n")}
    assert merge(repo.hub, *trees(repo, (SYMLINK, "rules"), LINES + "1\n", LINES + "2\n", extra=extra)).conflicts


def test_where_there_are_no_attributes_nothing_is_laid_out(repo, monkeypatch):
    laid = []
    monkeypatch.setattr(merge_attributes, "lay_out", lambda place, files: laid.append(files))
    by_git(repo.hub, *trees(repo, None, LINES + "1\n", LINES + "2\n"))
    by_git(repo.hub, *trees(repo, "*.md text\n", LINES + "1\n", LINES + "2\n"))
    assert laid == [{}, {}]
    by_git(repo.hub, *trees(repo, "*.md merge=union\n", LINES + "1\n", LINES + "2\n", name="d/e/log.md"))
    assert laid[2] == {b"": b"*.md merge=union\n"}
