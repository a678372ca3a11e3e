"""Exceptions that nobody foresaw: their tracebacks are kept in files, which can be sent with a report."""

from __future__ import annotations

import os
import tempfile
import traceback

from agentctl.git.repository import Hub


def kept(hub: Hub | None, error: BaseException) -> str:
    """Write the traceback of an exception to a file and return the path of the file; empty if that failed.

    The file is in the hub's own folder, or among the temporary files if there is no hub.
    """
    try:
        folder = os.path.dirname(hub.own_path("logs", "defects", "x")) if hub else None
        handle, path = tempfile.mkstemp(".log", "agentctl-", folder)
        with open(handle, "w", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
        return path
    except OSError:
        return ""
