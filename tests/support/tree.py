"""The commands there are, from the tree itself."""

import click

from agentctl.terminal.parser import Given, root


def context():
    """Of the root, with the settings of a run: click keeps what a command's first context made."""
    return click.Context(root, info_name="agentctl", obj=Given(), **root.context_settings)


def every_command(group=root, ctx=None):
    """(words that call it, command) of every command and group below `group`."""
    ctx = ctx or context()
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        inner = click.Context(command, info_name=name, parent=ctx)
        yield inner.command_path.split(" ", 1)[1], command
        if isinstance(command, click.Group):
            yield from every_command(command, inner)
