"""How many tasks review a change, and which of them it waits for."""

from agentctl.core.policy.policy import ApprovalRule, parse
from agentctl.core.queue.approvals import Lack
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import Approval, Queued, Work
from agentctl.core.queue.request import Review, Submit
from agentctl.core.refnames import valid_name
from agentctl.core.tasks.dispatch import Rules, dispatch, without_agent
from agentctl.core.tasks.reviewing import (
    MOST,
    by_revision,
    for_a_person,
    for_others,
    judges,
    name_of,
    numbered,
    of_roles,
    reviews_of,
    still_to_open,
    told,
    waited_for,
    ways,
    with_followers,
)
from agentctl.core.tasks.task import Status, Task


def lack(count=1, by="reviewer"):
    return Lack(ApprovalRule(("**",), by, count), ("a",), ())


def review(number, state="", role="reviewer"):
    return Task(name_of("fix/1", number), "Review fix/1: it", "judge it", closed=state, role=role, avoid=("ann",))


def waiting(lack, *reviews):
    return [task.id for task in waited_for(lack, reviews)]


def test_a_change_has_as_many_reviews_as_approvals_are_missing():
    assert still_to_open(lack(2), []) == 2 and still_to_open(lack(2), [review(1)]) == 1
    assert still_to_open(lack(), [review(1)]) == still_to_open(lack(), [review(1), review(2)]) == 0
    # One that is parked keeps its place, whoever parked it; one that is done and no approval does not.
    assert still_to_open(lack(), [review(1, "parked")]) == 0
    assert still_to_open(lack(), [review(1, "done")]) == 1
    # Each role has its own.
    assert still_to_open(lack(), [review(1, role="guard")]) == 1


def test_one_approval_counts_for_all_rules_so_a_review_is_for_a_role():
    all_, docs = (
        Lack(ApprovalRule(("**",), "reviewer", 2), ("a", "d"), ("ann",)),
        Lack(ApprovalRule(("d",), "reviewer", 2), ("d", "e"), ()),
    )
    guard = lack(by="guard")
    assert of_roles([all_, guard, docs]) == [Lack(docs.rule, ("a", "d", "e"), ()), guard]


def test_who_has_judged_in_a_role_gets_no_other_review_of_the_same_in_that_role():
    said = tuple(Approval(by, 1.0, role=role) for by, role in (("bob", "reviewer"), ("cleo", "guard"), ("dan", "worker")))
    record = Queued(Change("fix", 1, "head", "ann", 1, 1.0), Work("b" * 40), approvals=said)
    assert judges(record, "reviewer", []) == {"bob"} and judges(record, "guard", []) == {"cleo"}
    # What the bot has not heard yet may be said in any role, but of another head it says nothing.
    waiting = [
        kind("ref", "oid", by, "fix", 2, head)
        for kind, by, head in ((Review, "eve", "head"), (Review, "fay", "old"), (Submit, "gus", "head"))
    ]
    assert judges(record, "reviewer", waiting) == {"bob", "eve"}
    left = for_others(review(2), judges(record, "reviewer", waiting))
    assert left.avoid == ("ann", "bob", "eve")

    def goes_to(*free):
        return [who for _, who in dispatch({left.id: left}, {left.id: Status.READY}, free, "t", Rules(3), 1.0).start]

    assert goes_to("ann", "bob", "cleo", "eve") == ["cleo"] and goes_to("ann", "bob", "eve") == []
    assert without_agent([left], ["ann", "bob", "eve"]) and not without_agent([left], ["ann", "bob", "cleo", "eve"])


def test_each_review_of_each_revision_has_a_name_of_its_own():
    keys = ("fix/1", "fix-1/2", "fix-1.2/1", "fix/12", "fix-1/1", f"{'x' * 90}.2/1", f"{'x' * 100}/1", f"{'x' * 100}/2")
    numbers = (1, 2, MOST, 99999)
    named = {name_of(key, n): (key, n) for key in keys for n in numbers}
    assert len(named) == len(keys) * len(numbers) and all(map(valid_name, named))
    # Each says which revision it is about, however many there are.
    for id, (key, n) in named.items():
        assert numbered(id) == (name_of(key), n)
        assert [other for other in keys if reviews_of(other, Task(id, "Review it", "judge it"))] == [key]
    there = [review(10), review(2), review(1), Task("fix", "fix", "fix it"), Task("review-fix-1.x", "x", "x")]
    assert by_revision(there) == {"review-fix-1": [there[2], there[1], there[0]], "review-fix-1.x": [there[4]]}


def test_a_change_waits_for_parked_reviews_where_others_are_too_few():
    one, two, parked = review(1), review(2), review(3, "parked")
    assert waiting(lack(), parked) == [parked.id] and waiting(lack(2), parked, one) == [one.id, parked.id]
    assert waiting(lack(2), parked, one, two) == [one.id, two.id]
    assert waiting(lack(), review(1, "done")) == waiting(lack(by="guard"), one) == []


def test_a_person_is_asked_where_many_reviews_in_the_role_that_is_lacking_brought_no_approval():
    of_guards, own = [review(n, "done", "guard") for n in range(1, 9)], [review(n, "done") for n in range(9, 9 + MOST)]
    assert for_a_person(lack(), of_guards) == for_a_person(lack(), [*of_guards, *own[1:]]) == []
    assert for_a_person(lack(), [*of_guards, *own]) == own
    # Those that brought one are no reason to ask.
    given = Lack(ApprovalRule(("**",), "reviewer", MOST + 1), ("a",), ("bob",))
    assert for_a_person(given, own) == [] and for_a_person(given, [*own, review(20, "done")])


def test_what_comes_after_a_change_waits_for_its_reviews_too():
    after = {"top": ("middle",), "middle": ("low", "gone"), "low": (), "free": ()}
    queue = {
        f"{name}/1": Queued(Change(name, 1, f"h-{name}", "ann", n, 1.0, after=ahead), Work("b" * 40))
        for n, (name, ahead) in enumerate(after.items())
    }
    low, middle = frozenset({"review-low-1"}), frozenset({"review-low-1", "review-middle-1"})
    waits = {"low/1": low, "middle/1": {"review-middle-1"}}
    assert with_followers(queue, waits) == {"low/1": low, "middle/1": middle, "top/1": middle}
    assert with_followers(queue, {}) == {}


def test_what_brings_an_approval_is_a_command_or_the_task_of_a_reviewer():
    agents = parse("version: 1\ngates: [{name: test, run: make}]\n", "p").agents

    def says(lack, reviews=None):
        return ways("fix/1", [lack], agents, reviews)

    assert says(lack(by="person")) == says(lack(by="anybody")) == ["agentctl approve fix/1"]
    assert says(lack(by="worker")) == ["agentctl approve fix/1, in a session of the role worker"]
    # Who reads it may not know which reviews there are, as the bot does not.
    assert says(lack()) == ["the task review-fix-1 is for that"] and says(lack(), []) == ["agentctl run opens review-fix-1"]
    parked = "review-fix-1 is parked: agentctl task open review-fix-1"
    assert says(lack(), [review(1, "parked")]) == [parked]
    assert says(lack(), [review(1, "done")]) == ["agentctl run opens review-fix-1.2"]
    # None is named that exists, whatever its role; where no other is opened, one of those that there are helps.
    assert says(lack(), [review(n, "done", "guard") for n in range(1, 6)]) == ["agentctl run opens review-fix-1.6"]
    no_other = "review-fix-1 is done, and no other is opened: agentctl task open review-fix-1"
    assert says(lack(), [review(n, "done") for n in range(1, MOST + 1)]) == [no_other]
    assert says(lack(2), [review(1, "parked"), review(2)]) == ["review-fix-1.2 is on the list", parked]


def test_what_to_do_about_parked_reviews_is_told():
    assert told({}) == ""
    only = "1 change waits for approvals, and its review is parked: agentctl task open review-a-1"
    assert told({"a/1": ["review-a-1"]}) == only
    many = told({f"c{n:02}/1": [f"review-c{n:02}-1"] for n in range(30)})
    assert many.startswith(
        "30 changes wait for approvals, and their reviews are parked: agentctl task open review-c00-1 review-c01"
    )
    assert many.endswith(" review-c19-1 (and 10 more)")
