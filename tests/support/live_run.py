"""A run of the real command line that a test watches and steers while it goes on."""

import contextlib
import signal
import subprocess

from tests.support.hub import PATIENCE, command, environment, eventually


class LiveRun:
    """An `agentctl run` under way, and what it told so far."""

    def __init__(self, repo, script, go, *options):
        self.repo, self.go = repo, go
        self.log = open(f"{go}.log", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command("run", *options, "--", "sh", "-c", f"GO={go}; {script}"),
            cwd=repo.path,
            env=environment(),
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    @property
    def said(self):
        self.log.seek(0)
        return self.log.read()

    def hears(self, words):
        eventually(lambda: words in self.said)

    def working(self, *names):
        """Wait until just these tasks are worked on, each by an agent whose command has begun."""
        eventually(lambda: sorted(self._begun()) == sorted(names))

    def _begun(self):
        claims = [name.removeprefix("refs/agentctl/claims/") for name in self.repo.refs("refs/agentctl/claims")]
        return [name for name in claims if (self.go.parent / f"begun-{name}").exists()]

    def dies(self, reached):
        """Kill the run with nothing made safe once an agent has made a file beside `go`, with this ending of its name."""
        eventually(self.go.with_name(f"{self.go.name}.{reached}").exists)
        self.process.kill()
        self.process.wait(PATIENCE)

    def ends(self, status=0):
        self.go.touch()
        assert self.process.wait(PATIENCE) == status, self.said
        return self.said

    def kill(self):
        """Ask it to stop, if it runs still, and wait for that."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.log.close()
