"""Before each landing the merge is proven once more, by a second way: what may fool the first
does not fool it, and what is right passes, whatever the strategy."""

import time

import pytest

from agentctl.bot import recheck
from agentctl.bot.stage import Stager, own_commits
from agentctl.core.queue.events import Landing, Staged
from agentctl.core.queue.model import Change, Probe
from agentctl.core.queue.records import Passed, Queued, Work
from agentctl.core.text.json_form import replace
from agentctl.errors import Infrastructure
from agentctl.git import merge
from tests.support.hub import ANN, until

STRATEGIES = ("squash", "rebase", "merge")
LINES = "".join(f"{n}\n" for n in range(30))


def staged(repo, strategy, *heads):
    """(a landing of these heads on trunk, their records)."""
    tip = repo.tip
    records = [Queued(Change(f"c{n}", 1, head, "ann", n, 1.0), Work(tip)) for n, head in enumerate(heads)]
    built = Stager(repo.hub, strategy).chain(tip, records)
    assert not built.conflicts
    probe = Probe(1, tip, tuple(r.key for r in records), len(records), "?")
    return Landing(
        tip, Staged(probe, built.commit, built.tree, built.landing, "g"), Passed(built.tree, "g", 1.0, built.commit)
    ), records


def on(repo, commit, files, **facts):
    """The commit again with other files, parents or nothing else."""
    objects, old = repo.hub.objects, repo.hub.objects.commit(commit)
    tree = objects.replace(old.tree, {path: text if text is None else text.encode() for path, text in files.items()})
    return objects.write_commit(tree, facts.get("parents", old.parents), old.message, old.time, author=ANN, committer=ANN)


def last(landing, commit):
    """The landing with another last commit."""
    way = (*landing.staged.landing[:-1], (landing.staged.landing[-1][0], commit))
    return replace(landing, staged=replace(landing.staged, commit=commit, landing=way))


def refused(repo, strategy, landing, records, match):
    with pytest.raises(Infrastructure, match=match):
        recheck.check(repo.hub, strategy, landing, records)


@pytest.fixture
def hub(make_repo):
    return make_repo(files={"text": LINES, "d/one": "one\n", "d/two": "two\n", "gone": "gone\n"})


def two_heads(repo):
    """Two changes that meet in one file; the first in two commits, the second moves another file."""
    first = repo.change({"text": "first\n" + LINES}, "half")
    first = repo.change({"new": "new\n", "gone": None}, "whole", first)
    return first, repo.change({"text": LINES + "last\n", "d/one": None, "e/one": "one\n"}, "other")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_right_passes(hub, strategy):
    landing, records = staged(hub, strategy, *two_heads(hub))
    recheck.check(hub.hub, strategy, landing, records)
    # As does what is left of a train, and nothing at all.
    rest = replace(landing, old=landing.staged.landing[0][1], staged=replace(landing.staged, landing=landing.staged.landing[1:]))
    recheck.check(hub.hub, strategy, rest, records[1:])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_other_content_on_a_path_that_a_change_touched(hub, strategy):
    landing, records = staged(hub, strategy, *two_heads(hub))
    for path in ("text", "e/one"):
        evil = on(hub, landing.staged.commit, {path: "evil\n"})
        refused(hub, strategy, last(landing, evil), records, "another merge of c1/1")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_path_that_no_change_touched(hub, strategy):
    landing, records = staged(hub, strategy, *two_heads(hub))
    refused(hub, strategy, last(landing, on(hub, landing.staged.commit, {"evil": "evil\n"})), records, "another merge")
    refused(hub, strategy, last(landing, on(hub, landing.staged.commit, {"d/two": None})), records, "another merge")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_change_of_which_nothing_is_there(hub, strategy):
    landing, records = staged(hub, strategy, *two_heads(hub))
    base = hub.hub.objects.commit(landing.staged.landing[0][1])
    empty = hub.hub.objects.write_commit(base.tree, hub.hub.objects.commit(landing.staged.commit).parents, "x\n", base.time)
    refused(hub, strategy, last(landing, empty), records, "another merge")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_commit_of_nobody_in_between(hub, strategy):
    landing, records = staged(hub, strategy, *two_heads(hub))
    below = landing.staged.landing[0][1]
    between = hub.hub.objects.write_commit(hub.hub.objects.commit(below).tree, [below], "in between\n", time.time())
    parents = (between, *hub.hub.objects.commit(landing.staged.commit).parents[1:])
    refused(
        hub,
        strategy,
        last(landing, on(hub, landing.staged.commit, {}, parents=parents)),
        records,
        "other commits" if strategy == "rebase" else "another shape",
    )
    # Or on top, with the same files.
    top = hub.hub.objects.write_commit(hub.hub.objects.commit(landing.staged.commit).tree, [landing.staged.commit], "top\n", 1)
    over = replace(landing, staged=replace(landing.staged, commit=top))
    refused(hub, strategy, over, records, "more commits")


def test_another_second_parent(hub):
    landing, records = staged(hub, "merge", *two_heads(hub))
    first, _ = hub.hub.objects.commit(landing.staged.commit).parents
    other = on(hub, landing.staged.commit, {}, parents=(first, records[0].change.head))
    refused(hub, "merge", last(landing, other), records, "another shape")
    refused(hub, "squash", landing, records, "another shape")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_changes_in_another_order_or_left_out(hub, strategy):
    landing, records = staged(hub, strategy, *two_heads(hub))
    refused(hub, strategy, landing, records[::-1], "other changes")
    refused(hub, strategy, landing, records[:1], "other changes")


def test_a_commit_of_a_rebased_change_that_holds_what_another_does(hub):
    # Seen as a whole it is right, one by one it is not.
    landing, records = staged(hub, "rebase", two_heads(hub)[0])
    half, whole = own_commits(hub.hub, records[0])
    objects = hub.hub.objects
    early = objects.write_commit(whole.tree, [landing.old], half.message, 1)
    late = objects.write_commit(whole.tree, [early], whole.message, 1)
    refused(hub, "rebase", last(landing, late), records, "another merge")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_more_paths_than_a_record_names_and_names_that_are_no_text(hub, strategy):
    objects = hub.hub.objects
    many = hub.change({f"many/{n}": "x\n" for n in range(600)})
    tree = objects.tree(objects.commit(many).tree) | {b"\xff\xfe": (0o100644, objects.write_blob(b"odd\n"))}
    odd = objects.write_commit(objects.write_tree(tree), [hub.tip], "odd\n", 1)
    landing, records = staged(hub, strategy, odd)
    recheck.check(hub.hub, strategy, landing, records)


def test_no_process_is_asked_where_each_path_explains_itself(hub, monkeypatch):
    heads = [hub.change({f"n{n}": "n\n", "gone": None}) for n in range(3)]
    landing, records = staged(hub, "squash", *heads)
    monkeypatch.setattr(merge, "run", None)
    recheck.check(hub.hub, "squash", landing, records)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_bot_whose_stager_errs_lands_nothing(make_repo, monkeypatch, strategy):
    repo = make_repo(strategy=strategy)
    begin = repo.tip
    real = Stager._merged

    def erring(self, base, ours, theirs):
        merged = real(self, base, ours, theirs)
        return replace(merged, tree=self.hub.objects.replace(merged.tree, {"one.txt": b"evil\n"}))

    monkeypatch.setattr(Stager, "_merged", erring)
    repo.submit("one", {"one.txt": "1\n"})
    with repo.bot() as bot, pytest.raises(Infrastructure, match="not what its changes give"):
        until(bot, lambda: bot.idle)
    assert repo.tip == begin and repo.stage("one") == "queued"
