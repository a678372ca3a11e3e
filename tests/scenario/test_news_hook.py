"""What claude runs after each use of a tool: news reach its model once, until they change."""

import os
import subprocess

from agentctl.fleet import adapters, session_folder


def test_news_are_told_once(tmp_path):
    folder = session_folder.make(str(tmp_path))

    def told():
        env = os.environ | {session_folder.VARIABLE: folder}
        done = subprocess.run(["sh", "-c", adapters.TELLS_NEWS], env=env, capture_output=True, text=True)
        assert (done.returncode, done.stdout) in ((0, ""), (2, ""))
        return done.stderr if done.returncode else None

    assert told() is None
    session_folder.tell(str(tmp_path), "It conflicts in a.py.")
    assert told() == "It conflicts in a.py."
    assert told() is None
    session_folder.tell(str(tmp_path), "It conflicts in b.py.")
    assert told() == "It conflicts in b.py."
    session_folder.tell(str(tmp_path), "")
    assert told() is None
    session_folder.tell(str(tmp_path), "It conflicts in b.py.")
    assert told() == "It conflicts in b.py."


def test_outside_a_session_there_are_no_news(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != session_folder.VARIABLE}
    done = subprocess.run(["sh", "-c", adapters.TELLS_NEWS], env=env, capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
