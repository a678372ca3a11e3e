"""A change that adds a key is sent back, and the answer does not hold the key."""

import random
import string

import pytest

from agentctl.bot import added_keys

DRAWN = random.Random(7)
ALNUM = string.ascii_letters + string.digits


def key():
    """A private key, made here so that this file holds none."""
    body = "\n".join("".join(DRAWN.choice(ALNUM) for _ in range(64)) for _ in range(8))
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"


def token():
    return "ghp_" + "".join(DRAWN.choice(ALNUM) for _ in range(36))


def allow(repo, *globs):
    text = repo.show(".agentctl/policy.yaml")
    repo.push({".agentctl/policy.yaml": text + f"limits: {{allow_secrets: {list(globs)}}}\n"})


def test_a_private_key_is_refused_by_rule_path_and_line(repo):
    secret = key()
    repo.submit("leak", {"conf/server.pem": "# ours\n" + secret, "fine.txt": "fine\n"})
    repo.submit("fine", {"other.txt": "fine\n"})
    bot = repo.drain()
    assert (repo.kind("leak"), repo.stage("fine")) == ("policy", "landed")
    assert (
        "conf/server.pem:2: adds a key (private-key), which limits.allow_secrets does not allow there" in repo.record("leak").why
    )
    assert not any("leak/1" in probe.chain for probe, _ in bot.judged), "no gate ran for it"
    shown = "".join(repo.answer("leak").values()) + repo.cli("why", "leak", "--log").stdout
    shown += repo.git("log", "--format=%B", "refs/agentctl/state")
    assert "server.pem" in shown and secret.splitlines()[1] not in shown
    repo.proven()


def test_every_form_that_cannot_well_be_anything_else_is_refused(repo):
    line = f"token = '{token()}'\n"
    repo.submit("leak", {"a.py": "import os\n" + line, "b.bin": "\0\1\2" + line, "grün.txt": line})
    # What is refused must be well known: these may stand in a test, or in a page for everybody.
    repo.submit(
        "fine",
        {
            "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLWl0",
            "url": "postgres://u:p@h/db",
            "doc": "AKIAIOSFODNN7EXAMPLE, -----BEGIN PRIVATE KEY----- and so on",
        },
    )
    repo.drain()
    assert repo.stage("fine") == "landed"
    assert repo.verdict("leak")["rules"] == [
        f"{place}: adds a key (github-pat), which limits.allow_secrets does not allow there"
        for place in ("a.py:2", "b.bin:1", "grün.txt:1")
    ]


def test_the_policy_of_trunk_may_allow_it(repo):
    allow(repo, "tests/keys/**")
    repo.submit("fixture", {"tests/keys/a.pem": key()})
    repo.submit("leak", {"src/a.pem": key(), "tests/keys/b.pem": key()})
    repo.drain()
    assert repo.stage("fixture") == "landed"
    assert repo.verdict("leak")["rules"][0].startswith("src/a.pem:1: ") and len(repo.verdict("leak")["rules"]) == 1


def test_a_change_cannot_allow_its_own(repo):
    text = repo.show(".agentctl/policy.yaml").replace("protect:\n  - .agentctl/**\n", "protect: []\n")
    repo.push({".agentctl/policy.yaml": text})
    repo.submit(
        "both", {".agentctl/policy.yaml": text + "limits: {allow_secrets: ['**']}\n", "a.pem": key() + "# gitleaks:allow\n"}
    )
    repo.drain()
    assert [rule.split(":")[0] for rule in repo.verdict("both")["rules"]] == ["a.pem"]


def test_what_was_there_before_is_not_added(repo):
    old, new = key(), key()
    repo.push({"old.pem": old, "kept.txt": "1\n"})
    repo.submit("edit", {"old.pem": "# a comment\n" + old})
    repo.drain()
    repo.submit("move", {"old.pem": None, "moved/new.pem": old})
    repo.drain()
    assert (repo.stage("edit"), repo.stage("move")) == ("landed", "landed")
    repo.submit("second", {"moved/new.pem": old + new})
    repo.drain()
    assert "moved/new.pem:11: adds a key" in repo.record("second").why
    repo.submit("rid", {"moved/new.pem": None})
    repo.drain()
    assert repo.stage("rid") == "landed"


@pytest.mark.parametrize("strategy", ["squash", "rebase", "merge"])
def test_a_key_that_a_later_commit_removes_counts_where_the_commits_land(make_repo, strategy):
    repo = make_repo(strategy=strategy)
    with_key = repo.change({"a.pem": key(), "a.txt": "1\n"}, "oops")
    repo.hand_in("leak", repo.change({"a.pem": None}, "take it out", base=with_key))
    repo.drain()
    if strategy == "squash":
        assert repo.stage("leak") == "landed"
        assert "BEGIN PRIVATE KEY" not in repo.git("log", "-p", "main")
    else:
        assert f"a.pem:1 of its commit {with_key[:12]}: adds a key (private-key)" in repo.record("leak").why


def test_what_the_commits_of_a_change_bring_is_bounded(make_repo):
    repo = make_repo(strategy="rebase")
    repo.push({".agentctl/policy.yaml": repo.show(".agentctl/policy.yaml") + "limits: {change_bytes: 1000}\n"})
    head = None
    for n in range(3):
        head = repo.change({"a.txt": f"{n}" * 600}, f"step {n}", base=head)
    repo.hand_in("heavy", head)
    repo.drain()
    assert "a.txt of its commit" in repo.record("heavy").why and "over limits.change_bytes (1000)" in repo.record("heavy").why


def test_a_file_that_is_too_large_is_not_looked_into(repo, monkeypatch):
    monkeypatch.setattr(added_keys, "LARGEST", 2000)
    repo.submit("large", {"dump": "x" * 1500 + "\n" + key()})
    repo.submit("small", {"dump2": "x" * 1000 + "\n" + key()})
    repo.drain()
    assert (repo.stage("large"), repo.stage("small")) == ("landed", "rejected")


def test_a_name_that_is_no_text_is_told(repo):
    objects, tip = repo.hub.objects, repo.tip
    tree = dict(objects.tree(objects.commit(tip).tree)) | {b"k\xe9y": (0o100644, objects.write_blob(key().encode()))}
    repo.hand_in("odd", objects.write_commit(objects.write_tree(tree), [tip], "odd\n", 1))
    repo.drain()
    assert r"k\xe9y:1: adds a key (private-key)" in repo.record("odd").why


def test_a_key_that_a_merge_adds_itself_is_found_though_a_later_commit_takes_it_away(make_repo):
    repo = make_repo(strategy="merge")
    objects, secret = repo.hub.objects, key()
    left, right = repo.change({"left.txt": "left\n"}), repo.change({"right.txt": "right\n"})

    def commit(files, *parents):
        tree = objects.replace(objects.commit(repo.tip).tree, {path: text.encode() for path, text in files.items()})
        return objects.write_commit(tree, parents, "made by hand\n", 1_600_000_000)

    both = {"left.txt": "left\n", "right.txt": "right\n"}
    repo.hand_in("leak", commit(both, commit({**both, "a.pem": secret}, left, right)))
    repo.hand_in("fine", commit({**both, "c.txt": "c\n"}, commit(both, left, right)), agent="bob")
    repo.drain()
    assert repo.stages() == {"leak/1": "rejected", "fine/1": "landed"}
    assert "a.pem:1 of its commit" in repo.record("leak").why


def test_a_rename_on_trunk_carries_no_key_to_where_none_is_allowed(repo):
    text = "".join(f"line {n}\n" for n in range(60))
    allow(repo, "tests/keys/**")
    repo.push({"tests/keys/a.txt": text})
    old = repo.tip
    repo.push({"tests/keys/a.txt": None, "src/a.txt": text})
    repo.submit("leak", {"tests/keys/a.txt": text + key()}, base=old)
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert repo.kind("leak") == "policy" and "src/a.txt" in repo.record("leak").why and "adds a key" in repo.record("leak").why
    assert repo.landings() == ["good/1"] and repo.show("src/a.txt") == text
    repo.proven()
