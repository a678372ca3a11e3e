"""A red trunk that is mended, broken before each of its effects: the next bot finishes it."""

from tests.crash.test_landing import Counter, coarse, run


def test_broken_before_every_effect(make_repo, monkeypatch):
    counter, fatal = Counter(monkeypatch, coarse), 1
    while True:
        repo = make_repo(f"repo-{fatal}", files={"trunk.txt": "BUG\n"}, retries=0, slots=1)
        repo.submit("bad", {"bad.txt": "BUG\n"})
        repo.submit("fix", {"trunk.txt": "mended\n"})
        untouched = run(repo, counter, fatal)
        if not untouched:
            assert run(repo, counter, 0)
        assert repo.stages() == {"fix/1": "landed", "bad/1": "rejected"} and repo.landings() == ["fix/1"]
        counts = repo.proven()
        assert (counts.landed, counts.rejected, counts.queued) == (1, 1, 0)
        assert repo.git("status", "--porcelain") == "" and repo.refs("refs/agentctl/stage") == []
        if untouched:
            break
        fatal += 1
    assert fatal > 10
