"""agentctl completion: a script that completes commands and options in a shell."""

from __future__ import annotations

import click

from agentctl.terminal.parser import Given, as_command, given


@as_command("completion", "agentctl completion bash >> ~/.bashrc\nagentctl completion zsh >> ~/.zshrc")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@given
def command(given: Given, shell: str) -> int:
    """Print what completes commands and options in SHELL."""
    from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

    from agentctl.terminal.parser import root

    found: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    source = found[shell](root, {}, "agentctl", "_AGENTCTL_COMPLETE").source()
    if given.json:
        given.emit({"shell": shell, "source": source})
    else:
        given.show(source)
    return 0
