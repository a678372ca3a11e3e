import os
import unicodedata
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.policy.policy import parse
from agentctl.core.queue.admission_rules import ChangedFile, check
from agentctl.core.text.globs import matches

SETTINGS = settings(max_examples=200, deadline=None, database=None, derandomize=True)
LIMITS = parse("version: 1\ngates: [{name: t, run: t}]", "p").limits
FILE, LINK = 0o100644, 0o120000
names = st.sampled_from(["a", "A", "b", ".git", "git~1", "é", "e\u0301", "..", "", "x\n", "\u202e", "C:"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join) | st.text(max_size=12)
raw = paths | st.binary(max_size=12)
entries = st.builds(
    ChangedFile,
    path=raw,
    mode=st.sampled_from([FILE, 0o100755, LINK, 0o160000, 0o40000, 0]) | st.integers(0, 1 << 20),
    size=st.integers(0, 1 << 40),
    target=st.none() | raw,
    deleted=st.booleans(),
)
components = st.text("ab*?", min_size=1, max_size=5) | st.sampled_from(["a", "**", "**", "[a-c]", "é"])
globs = st.lists(components, min_size=1, max_size=5).map("/".join)
simple = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join)


@SETTINGS
@given(st.lists(entries, max_size=12), st.lists(globs | st.text(min_size=1), max_size=3))
def test_every_answer_is_one_printable_line(changed, protect):
    refused = check(changed, LIMITS, protect)
    assert all(line.isprintable() and ": " in line for line in refused)
    assert refused == check(iter(changed), LIMITS, iter(protect))


@SETTINGS
@given(st.lists(entries, max_size=8), st.lists(entries, max_size=8))
def test_more_files_never_make_a_refused_change_acceptable(some, more):
    if check(some, LIMITS, []):
        assert check([*some, *more], LIMITS, [])


@SETTINGS
@given(st.lists(paths, unique=True, max_size=8))
def test_what_is_admitted_has_one_name_on_every_file_system(chosen):
    if check([ChangedFile(path, FILE) for path in chosen], LIMITS, []):
        return
    for form in ("NFC", "NFD"):
        plain = {unicodedata.normalize(form, path).lower() for path in chosen}
        assert len(plain) == len(chosen)


ups = st.integers(0, 2).map(lambda n: [".."] * n)
downs = st.lists(st.sampled_from(["a", "b", "b", "", "."]), max_size=2)
targets = st.tuples(ups, downs, ups, downs).map(lambda parts: "/".join(sum(parts, [])) or ".")
places = st.sampled_from(["a", "b/a", "b/b", "b/a/b"])


@settings(SETTINGS, max_examples=1000)
@given(st.dictionaries(places, targets, min_size=2))
def test_no_chain_of_admitted_links_leads_out_of_the_tree(links):
    """Made for real, and followed by the kernel from every place."""
    with TemporaryDirectory() as folder:
        top = Path(os.path.realpath(folder)) / "outside" / "top"
        top.mkdir(parents=True)
        for name in ("a", "b", "c"):
            (top.parent / name).mkdir()
        for place, target in links.items():
            if not check([ChangedFile(place, LINK, 1, target)], LIMITS, []):
                made(top, place, target)
        assert [path for path in reached(top) if path != top and top not in path.parents] == []


def made(top, place, target):
    path = top / place
    if not os.path.lexists(path) and not any(parent.is_symlink() for parent in path.parents):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            return
        path.symlink_to(target)


def reached(top):
    """Where each link leads, loops and loose ends left out."""
    for parent, folders, files in os.walk(top):
        for name in [*folders, *files]:
            with suppress(OSError):
                yield Path(os.path.realpath(Path(parent, name), strict=True))


@SETTINGS
@given(globs, paths)
def test_a_pattern_below_a_directory_matches_all_below_it(pattern, path):
    below = f"{pattern}/**"
    if matches(pattern, path):
        assert matches(below, path)
        assert matches(below, f"{path}/x")


@SETTINGS
@given(st.text(st.characters(blacklist_characters="*?[/"), min_size=1, max_size=8), paths)
def test_a_pattern_without_signs_matches_itself_alone(pattern, path):
    assert matches(pattern, path) is (pattern == path)


def plainly(pattern, path):
    """Does a list of components match another? As the definition says, and slowly."""
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return plainly(pattern[1:], path) or plainly(pattern, path[1:])
    return letters(pattern[0], path[0]) and plainly(pattern[1:], path[1:])


def letters(pattern, name):
    if not pattern or not name:
        return not name and set(pattern) <= {"*"}
    if pattern[0] == "*":
        return letters(pattern[1:], name) or letters(pattern, name[1:])
    return pattern[0] in ("?", name[0]) and letters(pattern[1:], name[1:])


@settings(SETTINGS, max_examples=2000)
@given(st.lists(st.text("ab*?", min_size=1, max_size=5) | st.just("**"), min_size=1, max_size=5), simple)
def test_globs_match_as_they_are_defined(pattern, path):
    assert matches("/".join(pattern), path) is plainly(pattern, path.split("/"))
