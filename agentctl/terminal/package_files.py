"""Files that come with the package: from the wheel, or the checkout of an editable install."""

from __future__ import annotations

import os

import agentctl
from agentctl.errors import NotFound

_PACKAGE = os.path.dirname(os.path.abspath(agentctl.__file__))


def data_path(*parts: str) -> str:
    """Return the path of a file that comes with the package, or raise NotFound."""
    for base in (os.path.join(_PACKAGE, "data"), os.path.dirname(_PACKAGE)):
        path = os.path.join(base, *parts)
        if os.path.exists(path):
            return path
    raise NotFound(f"this installation lacks {'/'.join(parts)}", hint="install agentctl again")


def data_file(*parts: str) -> str:
    with open(data_path(*parts)) as file:
        return file.read()
