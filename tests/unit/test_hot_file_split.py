"""The task to split a file."""

from agentctl.core.refnames import valid_name
from agentctl.core.tasks.hot_file_split import name_of, task_for
from agentctl.core.tasks.task import Task
from agentctl.core.text.globs import matches


def test_a_path_has_one_name_and_shares_it_with_no_other():
    assert name_of("README") == "split-README"
    names = [name_of(path) for path in ("src/a.py", "src-a.py", "src/a-py", "ä", "x" * 300)]
    assert len(set(names)) == 5 and all(map(valid_name, names))


def test_the_task_says_why_and_goes_before_all_others():
    others = [Task("a", "a", "a", priority=3), Task("b", "b", "b", priority=9, closed="done")]
    made = task_for("src/[hot]*.py", 7, 40, others, 5.0)
    assert "Of the last 40 changes that landed or were rejected, 7 were rejected" in made.prompt
    assert made.priority == 4
    assert matches(made.paths[0], "src/[hot]*.py")
