"""A change of the policy file lands only if trunk can go by it: without a policy nothing begins, and nothing lands."""

import pytest

from tests.support.hub import policy

PATH = ".agentctl/policy.yaml"


@pytest.fixture
def repo(make_repo):
    """A hub whose policy does not protect its own file."""
    repo = make_repo()
    repo.push({PATH: free()})
    return repo


def free(**values):
    return policy(**values).replace("protect:\n  - .agentctl/**\n", "protect: []\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (free() + "queue: [\n", f"{PATH}:{len(free().splitlines()) + 2}:1: "),
        (free().replace("version: 1", "version: 1\nvershun: 1"), f"{PATH}:2:1: "),
        (free(slots=0), f"{PATH}:{free().splitlines().index('  slots: 2') + 1}:"),
        (free(trunk="other"), "the policy on main names 'other' as trunk, and there is no such branch here"),
        ("# \udcff\n" + free(), f"{PATH}:1: not UTF-8"),
        (None, f"{PATH}: trunk cannot do without this file"),
    ],
)
def test_one_by_which_trunk_cannot_go_is_rejected_by_line_and_problem(repo, text, said):
    repo.submit("bad", {PATH: text})
    repo.submit("good", {"good.txt": "good\n"})
    bot = repo.drain()
    assert (repo.kind("bad"), repo.stage("good")) == ("policy", "landed")
    assert repo.verdict("bad")["rules"][0].startswith(said)
    assert not any("bad/1" in probe.chain for probe, _ in bot.judged), "no gate ran for it"
    repo.proven()


def test_one_that_is_valid_lands(repo):
    repo.submit("good", {PATH: free(slots=3)})
    repo.drain()
    assert repo.stages() == {"good/1": "landed"}


def test_two_that_are_valid_apart_and_not_together_do_not_both_land(repo):
    text, base = free(), repo.tip
    repo.submit("top", {PATH: text.replace("version: 1\n", "version: 1\nforeign: stop\n")})
    repo.drain()
    repo.submit("end", {PATH: text + "foreign: stop\n"}, base=base)
    repo.drain()
    assert repo.stages() == {"top/1": "landed", "end/1": "rejected"} and repo.kind("end") == "policy"
    why = f"trunk could not go by the policy that it would leave there: {PATH}:{len(text.splitlines()) + 2}:1: "
    assert repo.record("end").why.startswith(why)
    repo.proven()
