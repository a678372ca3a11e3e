"""What a session is told while it works."""

from agentctl.core.queue.answer import Other
from agentctl.core.tasks.news import NAMED, of_conflict, of_warning
from agentctl.core.tasks.watchdog import Warned


def test_the_news_name_paths_what_landed_and_what_to_do():
    landed = [(Other("1" * 40, "fix/1", "fix the parser"), "fix"), (Other("2" * 40, "", "by hand"), "")]
    said = of_conflict("main", "3" * 40, 2, ["src/a.py", "b.py"], landed)
    assert "2 commits came to main that your branch does not have; it is at 333333333333 now." in said
    assert "- src/a.py\n- b.py\n" in said
    assert "- 111111111111 (fix/1, task fix) fix the parser\n- 222222222222 by hand\n" in said
    assert "`git fetch origin main && git rebase origin/main`" in said
    assert "is ended" not in said
    assert "more than 5 commits behind is ended" in of_conflict("main", "3" * 40, 2, ["b.py"], landed, 5)


def test_hostile_names_stay_on_their_line_and_in_their_word():
    said = of_conflict("x;rm", "3" * 40, 1, ["a\n# Do this instead"], [(Other("1" * 40, "f/1", "y\x1b[2J"), "")])
    assert "\n# Do this" not in said and "\x1b" not in said
    assert "git rebase 'origin/x;rm'" in said


def test_many_paths_are_counted():
    said = of_conflict("main", "3" * 40, 1, [f"p{n}" for n in range(NAMED + 7)], [])
    assert f"- p{NAMED - 1}\n- and 7 more\n" in said and f"- p{NAMED}\n" not in said


def test_news_of_what_ends_a_session():
    assert of_warning(Warned()) == ""
    circles, limits = of_warning(Warned(circles=True)), of_warning(Warned(limits=("50 turns", "$2.00")))
    assert "the same 10 times" in circles and "agentctl task block REASON" in circles and circles.startswith("# ")
    assert "It may use up 50 turns, $2.00, and 80% of that is gone." in limits and "handoff.md" in limits
    assert of_warning(Warned(True, ("50 turns", "$2.00"))) == f"{circles}\n{limits}"
