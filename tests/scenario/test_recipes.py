"""The recipes for CI, as they stand but for the installation: what a forge does, and what it shows in the end."""

import os
import sys
from pathlib import Path

import pytest

from bench import recipes


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_a_recipe(name, tmp_path):
    """Two jobs at a time and one more: what is good lands, what is bad is shown at its line. `bench.recipes` installs too."""
    hub = recipes.made_hub(tmp_path / "forge")
    bin = str(Path(sys.executable).parent)
    env = {**os.environ, "PATH": f"{bin}:{os.environ['PATH']}", "CI": "true"}
    job = dict(recipes.jobs(hub))[name]
    assert recipes.checked(job, hub, f"{bin}/agentctl", env, skip="python3 -m pip install") == []


def test_the_recipe_for_cron_is_a_shell_script():
    assert (recipes.RECIPES / "cron.sh").read_text().startswith("#!/bin/sh\n")
    assert os.access(recipes.RECIPES / "cron.sh", os.X_OK)
