"""How agent programs are called."""

from __future__ import annotations

import re

import pytest

from agentctl.core.policy.schema import SCHEMA
from agentctl.core.policy.schema_of_agents import PLACEHOLDERS
from agentctl.fleet import adapters
from agentctl.fleet.adapters import ADAPTERS


def test_the_policy_names_every_adapter():
    said = SCHEMA["properties"]["agents"]["properties"]["adapter"]["description"]
    listed = said.partition(": ")[2].rstrip(".").replace(" or ", ", ").split(", ")
    assert sorted(listed) == sorted(ADAPTERS)


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name != "command"])
def test_each_is_told_what_to_do_once_and_how_to_be_installed(name):
    adapter = ADAPTERS[name]
    used = re.findall(r"\{(\w+)\}", " ".join(adapter.argv))
    assert set(used) <= set(PLACEHOLDERS) and len([word for word in used if word.startswith("prompt")]) == 1
    assert adapter.install and not adapter.stdin


def test_placeholders_are_filled_in_one_pass():
    values = {"prompt_file": "/p.md", "task": "fix"}
    argv = adapters.filled(("run", "{task}", "--p={prompt}", "{unknown}", "{"), "say {task} {", values)
    assert argv == ("run", "fix", "--p=say {task} {", "{unknown}", "{")


def test_a_prompt_too_long_for_an_argument_is_named_by_its_file():
    (word,) = adapters.filled(("{prompt}",), "x" * 200_000, {"prompt_file": "/p.md"})
    assert "/p.md" in word and len(word) < 100
