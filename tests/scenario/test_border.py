"""What comes by a ref is a stranger's: what is not fit is answered by itself, and harms nobody."""

import contextlib
import json
import os
import subprocess
import threading

from agentctl.core.queue.records import reason_kind
from agentctl.git import connectivity
from agentctl.git.objects import EMPTY_TREE, FILE, SYMLINK
from tests.support.hub import Repo, eventually, finish, git, told


def push(repo, name, oid, agent="evil", revision=1):
    repo.git("update-ref", f"refs/agentctl/inbox/{agent}/{name}/{revision}", oid)


def tag(repo, target, message, kind="commit"):
    data = f"object {target}\ntype {kind}\ntag t\ntagger Ann <ann@example.invalid> 1 +0000\n\n{message}\n"
    done = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"],
        cwd=repo.path,
        input=data,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def others_land(repo, *expected):
    """An honest change beside what is there lands, and the repository is sound."""
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert repo.stage("good") == "landed" and repo.refs("refs/agentctl/inbox") == []
    for words in (["queue", "--all"], ["verify"]):
        repo.cli(*words)
    repo.git("gc", "-q")
    git(repo.path.parent, "clone", "-q", "--mirror", f"file://{repo.path}", "mirror.git")
    git(repo.path.parent, "-c", "fetch.fsckObjects=true", "clone", "-q", f"file://{repo.path}", "checked")
    repo.proven()


SUBJECTS = {
    '{"priority":true}': "priority: expected int, got bool",
    '{"priority": 1e9}': "priority: expected int, got float",
    '{"after": {}}': "after: expected array",
    '{"priority": 5000}': "priority: expected int <= 1000",
    '{"withdraw": "yes"}': "withdraw: expected bool, got str",
    "{" * 9: "what it should",
    '{"task": "../x"}': "task is not a valid name",
}


def test_facts_of_the_wrong_type(repo):
    for n, subject in enumerate(SUBJECTS):
        push(repo, f"odd-{n}", tag(repo, repo.change({f"{n}.txt": f"{n}\n"}), subject))
    others_land(repo)
    for n, why in enumerate(SUBJECTS.values()):
        record = repo.record(f"odd-{n}")
        assert (record.stage, reason_kind(record)) == ("rejected", "border") and why in record.why
        # Its work is kept all the same.
        assert repo.git("rev-parse", f"refs/agentctl/outbox/evil/odd-{n}/1^").strip() == record.change.head
        assert why in repo.cli("why", f"odd-{n}").stdout.replace("\n    ", " ")


def without(repo, head, path):
    """Remove an object of a head as a push that sent too little would leave it."""
    oid = repo.git("rev-parse", path.format(head)).strip()
    os.unlink(repo.path / ".git/objects" / oid[:2] / oid[2:])


def broken_heads(repo):
    blob = repo.change({"d/new.txt": "new\n"}, "lacks a blob")
    tree = repo.change({"e/new.txt": "new too\n"}, "lacks a tree")
    below = repo.change({"f.txt": "f\n"}, "is not there")
    parent = repo.change({"g.txt": "g\n"}, "lacks a parent", base=below)
    without(repo, blob, "{}:d/new.txt")
    without(repo, tree, "{}:e")
    os.unlink(repo.path / ".git/objects" / below[:2] / below[2:])
    return {"blob": blob, "tree": tree, "parent": parent}


def test_a_head_that_lacks_objects_is_nobodys_parent(repo):
    heads = broken_heads(repo)
    for name, head in heads.items():
        push(repo, f"lacks-{name}", head)
        push(repo, f"tagged-{name}", tag(repo, head, "{}"))
    # A control: as long as such a ref stands Git does not even collect garbage.
    assert subprocess.run(["git", "gc", "-q"], cwd=repo.path, capture_output=True).returncode
    others_land(repo)
    for name in heads:
        for change in (f"lacks-{name}", f"tagged-{name}"):
            record = repo.record(change)
            assert (reason_kind(record), record.kept) == ("border", False) and "not whole" in record.why
            assert repo.git("rev-list", "--count", f"refs/agentctl/outbox/evil/{change}/1").strip() == "1"


def test_what_is_no_commit(repo):
    tree, blob = repo.hub.objects.commit(repo.tip).tree, repo.hub.objects.write_blob(b"blob")
    inner = tag(repo, repo.tip, "{}")
    strange = {
        "tree": tree,
        "blob": blob,
        "tag-of-tree": tag(repo, tree, "{}", "tree"),
        "tag-of-blob": tag(repo, blob, "{}", "blob"),
        "tag-of-tag": tag(repo, inner, "{}", "tag"),
        "tag-of-nothing": tag(repo, "1" * 40, "{}"),
    }
    for name, oid in strange.items():
        push(repo, name, oid)
    push(repo, "withdrawn", tag(repo, tree, '{"withdraw": true}', "tree"))
    others_land(repo)
    for name in (*strange, "withdrawn"):
        assert (repo.kind(name), repo.record(name).kept) == ("border", False)
        assert "not" in repo.record(name).why and repo.verdict(name)["kind"] == "border"


def test_a_tag_that_lies_about_its_kind(repo):
    liar = tag(repo, repo.hub.objects.commit(repo.tip).tree, "{}", "commit")
    push(repo, "liar", liar)
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert "a tag of a tree" in repo.record("liar").why and repo.stage("good") == "landed"
    # As long as Git finds that tag anywhere it fails, so nothing may hold it.
    repo.git("gc", "-q", "--prune=now")
    assert subprocess.run(["git", "cat-file", "-e", liar], cwd=repo.path, capture_output=True).returncode
    repo.proven()


def test_names_that_are_none_are_left_and_named_once(repo):
    names = [
        "inbox/evil/x/0",
        "inbox/evil/x/007",
        "inbox/evil/x",
        "inbox/evil/y/1/2",
        "inbox/evil/a b/1",
        "inbox/evil/z/" + "9" * 40,
    ]
    for name in names:
        if " " not in name and name != "inbox/evil/x":
            repo.git("update-ref", "refs/agentctl/" + name, repo.tip)
    repo.submit("good", {"good.txt": "good\n"})
    with repo.bot() as bot:
        finish(bot)
        bot.take_turn()
        said = told(bot, "odd")
    assert repo.stage("good") == "landed"
    assert len(said) == len(set(said)) == len(repo.refs("refs/agentctl/inbox")) == 4
    found = repo.cli("doctor", ok=9).stdout
    assert all(f"{ref} is not a submission" in found for ref in repo.refs("refs/agentctl/inbox"))


def test_content_that_no_slot_could_hold(repo):
    objects, tip = repo.hub.objects, repo.tip
    link = objects.write_blob(b"README")
    entries = dict(objects.tree(objects.commit(tip).tree))
    modules = objects.write_tree({**entries, b".gitmodules": (SYMLINK, link)})
    long = objects.write_tree({**entries, b"n" * 300: (FILE, link)})
    for name, tree in (("modules", modules), ("long", long)):
        push(repo, name, objects.write_commit(tree, [tip], name, 1))
    data = b"tree %s\nparent %s\nauthor A <a@b> -5 +0000\ncommitter A <a@b> 1 +0000\n\nold\n" % (
        objects.commit(repo.change({"old.txt": "old\n"})).tree.encode(),
        tip.encode(),
    )
    push(repo, "old", objects.store.write(b"commit", data))
    others_land(repo)
    assert "a file that Git reads" in repo.record("modules").why
    assert "300 bytes" in repo.record("long").why
    assert "not one that Git writes" in repo.record("old").why and "--reset-author" in repo.record("old").why


def test_what_the_rules_do_not_know_of_fails_in_its_slot_alone(repo, monkeypatch):
    # As if there were no rule about names: Git itself cannot lay out such a tree.
    monkeypatch.setattr("agentctl.bot.admit.admission_rules.check", lambda *args: [])
    objects, tip = repo.hub.objects, repo.tip
    blob = objects.write_blob(b"x")
    tree = objects.write_tree({**objects.tree(objects.commit(tip).tree), b"n" * 300: (FILE, blob)})
    push(repo, "long", objects.write_commit(tree, [tip], "long", 1))
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert repo.stages() == {"long/1": "rejected", "good/1": "landed"}
    assert "its files cannot be laid out" in repo.record("long").why and "too long" in repo.answer("long")["gate.log"]
    repo.proven()


def test_a_ref_that_is_moved_all_the_time_holds_up_nobody(repo):
    heads = [repo.change({f"{n}.txt": f"{n}\n"}) for n in range(2)]
    stop = threading.Event()
    path = repo.path / ".git/refs/agentctl/inbox/evil/restless/1"

    def churn():
        n = 0
        while not stop.is_set():
            n += 1
            (repo.path / ".git/next").write_text(heads[n % 2] + "\n")
            # The bot removes the empty folder at any moment.
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                path.parent.mkdir(parents=True, exist_ok=True)
                (repo.path / ".git/next").rename(path)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        repo.submit("good", {"good.txt": "good\n"})
        with repo.bot() as bot:
            eventually(lambda: bot.take_turn() or "good/1" in repo.landings())
            assert bot.contended < 10
    finally:
        stop.set()
        thread.join()


def test_an_answer_that_cannot_be_written_holds_up_nobody(repo):
    # Somebody made what is no ref where a folder should be. A ref would be set aside.
    place = repo.path / ".git/refs/agentctl/outbox/ann"
    place.parent.mkdir(parents=True)
    place.write_text("junk\n")
    for n in range(6):
        repo.submit(f"bad-{n}", {f"{n}.txt": "BUG\n"})
    repo.submit("good", {"good.txt": "good\n"}, agent="bea")
    repo.submit("wrong", {".agentctl/policy.yaml": "version: 9\n"}, agent="bea")
    bot = repo.drain()
    assert repo.stage("good") == "landed" and {repo.stage(f"bad-{n}") for n in range(6)} == {"rejected"}
    assert repo.record("bad-0").why and repo.stage("wrong") == "rejected"
    assert any("outbox/ann/bad-" in line for line in told(bot, "odd"))
    place.unlink()
    repo.proven()


def test_lines_of_the_ledger_are_not_forged(repo):
    # The proof reads them: a subject or a reason must not make one.
    repo.cli("queue", "pause", "--reason", "x\nadmit ghost/1 from evil: boo\n\u2028admit ghost/2 from evil: boo")
    push(
        repo,
        "lines",
        tag(repo, repo.change({"l.txt": "l\n"}, "one\u2028admit ghost/3 from evil: boo"), '{"priority": "\\nadmit ghost/4 x"}'),
    )
    with repo.bot() as bot:
        bot.take_turn()
    repo.cli("queue", "resume")
    others_land(repo)


def test_a_ledger_from_before_is_read(repo):
    repo.submit("one", {"one.txt": "BUG\n"})
    repo.drain()
    objects = repo.hub.objects
    tip = objects.commit(repo.git("rev-parse", "refs/agentctl/state").strip())
    old = {}
    for path, oid in objects.walk(tip.tree):
        if path == "probes.json" or path.startswith(("done/", "queue/")):
            found = json.loads(objects.blob(oid))
            found.pop("struck", None)
            found.pop("kept", None)
            old[path] = (json.dumps(found) + "\n").encode()
    repo.git(
        "update-ref", "refs/agentctl/state", objects.write_commit(objects.replace(tip.tree, old), [tip.oid], "as of old\n", 1)
    )
    repo.cli("bot", "adopt")
    repo.submit("two", {"two.txt": "2\n"})
    repo.drain()
    assert repo.stages() == {"one/1": "rejected", "two/1": "landed"}
    repo.proven()


def test_of_many_heads_those_that_are_broken_are_found(repo):
    good = [repo.change({f"{n}.txt": f"{n}\n"}) for n in range(20)]
    bad = broken_heads(repo)
    found = connectivity.broken(repo.hub.git_dir, [*good[:9], *bad.values(), *good[9:]], [repo.tip])
    assert found.keys() == set(bad.values()) and all(found.values())
    assert connectivity.broken(repo.hub.git_dir, good, [repo.tip]) == {} == connectivity.broken(repo.hub.git_dir, [], [])
    # A commit-graph that says otherwise is not believed.
    head = repo.change({"last.txt": "last\n"}, base=good[0])
    repo.git("update-ref", "refs/heads/last", head)
    repo.git("commit-graph", "write", "--reachable")
    repo.git("update-ref", "-d", "refs/heads/last")
    os.unlink(repo.path / ".git/objects" / good[0][:2] / good[0][2:])
    assert connectivity.broken(repo.hub.git_dir, [head], [repo.tip]).keys() == {head}


def test_a_head_on_another_history_is_kept_if_it_is_whole(repo):
    alone = repo.hub.objects.write_commit(repo.hub.objects.replace(EMPTY_TREE, {"a": b"a"}), (), "alone\n", 1)
    push(repo, "alone", alone)
    others_land(repo)
    assert "shares no history" in repo.record("alone").why
    assert Repo(repo.path.parent / "mirror.git").git("cat-file", "-t", alone).strip() == "commit"
