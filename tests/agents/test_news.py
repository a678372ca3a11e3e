"""Programs that have hooks are told of news while they work."""

import subprocess

import pytest

from agentctl.fleet import adapters, session_folder
from tests.agents.test_programs import ALL
from tests.support.agent_programs import PROGRAMS, seal
from tests.support.model_server import ModelServer

pytestmark = pytest.mark.agents


@pytest.mark.skipif(not PROGRAMS["claude"].folder(ALL), reason="claude is not installed; .ci/agents installs it")
@pytest.mark.parametrize("there", [True, False])
def test_claude_hears_news_once(tmp_path, there):
    tree, home = tmp_path / "tree", tmp_path / "home"
    home.mkdir()
    (tree / "calc").mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    folder = session_folder.make(str(tree))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/agentctl").symlink_to("/bin/true")
    session_folder.tell(str(tree), "Your work conflicts with trunk in quokka.py." if there else "")
    argv = adapters.filled(adapters.lookup("claude").argv, "Do it. (model: c 4)", {})
    with ModelServer() as model:
        model.word = "quokka.py"
        env = seal(PROGRAMS["claude"], ALL, str(home), model.url) | {session_folder.VARIABLE: folder, "IS_SANDBOX": "1"}
        env["PATH"] = f"{tmp_path}/bin:{env['PATH']}"
        subprocess.run(argv, cwd=tree, env=env, check=True, stdin=subprocess.DEVNULL, timeout=120)
        # The model uses tools twice, and each later request repeats what was said before.
        assert model.heard == (2 if there else 0)
