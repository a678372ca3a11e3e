"""How agent programs are called."""

from __future__ import annotations

import re

import pytest

from agentctl.core.policy.schema import PLACEHOLDERS, SCHEMA
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
