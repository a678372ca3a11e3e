"""The files that a job of the bot leaves: a JUnit report, a code-quality report, a summary; and annotations in a forge's log."""

from __future__ import annotations

import os

from agentctl.core.notices import Told
from agentctl.core.queue.events import Probed
from agentctl.core.queue.records import Landed, Rejected
from agentctl.errors import UsageError
from agentctl.git.repository import Hub
from agentctl.hub import outbox
from agentctl.terminal import forge
from agentctl.terminal.forge import Fate
from agentctl.terminal.junit import junit


class Reports:
    def __init__(self, hub: Hub, files: dict[str, str | None]) -> None:
        """Take files by the option that names each: junit, code-quality and summary.

        On GitHub the summary is that of the job unless a file is named. Raises UsageError now for a file that could not be
        written in the end.
        """
        self.hub, self.fates, self.probes = hub, list[Fate](), list[Probed]()
        """What ended and what was tested; nothing is kept where nothing is to be written."""
        self.github = os.environ.get("GITHUB_ACTIONS") == "true"
        own = os.environ.get("GITHUB_STEP_SUMMARY") if self.github else None
        self._files = {**files, "summary": files.get("summary") or own}
        for option, path in self._files.items():
            try:
                if path:
                    open(path, "a").close()
            except OSError as error:
                raise UsageError(f"--{option} {path}: {error.strerror}") from None

        self._wanted = self.github or any(self._files.values())

    def tell(self, event: Told) -> None:
        if not self._wanted:
            return
        if isinstance(event, Probed) and not event.known:
            self.probes.append(event)
        elif isinstance(event, Landed):
            self.fates.append(Fate(event))
        elif isinstance(event, Rejected):
            answer = outbox.read(self.hub, event)
            self.fates.append(Fate(event, (answer.log or answer.conflict) if answer else ""))

    def write(self, queued: int, why: str) -> None:
        """Write the files; `queued` changes are left, and `why` says why."""
        if path := self._files["junit"]:
            junit(path, self.fates, self.probes)
        if path := self._files["code-quality"]:
            with open(path, "w", encoding="utf-8") as file:
                file.write(forge.code_quality(self.fates))
        if path := self._files["summary"]:
            # A forge collects what the steps of a job add to this file.
            with open(path, "a", encoding="utf-8") as file:
                file.write(forge.summary(self.fates, queued, why))

    @property
    def annotations(self) -> list[str]:
        """Return the lines that GitHub reads from a job's log; none elsewhere."""
        return [forge.annotation(fate) for fate in self.fates if self.github and isinstance(fate.record, Rejected)]
