"""agentctl worker: gates and sessions of other stations, run on this machine."""

from __future__ import annotations

import os
import socket

import click

from agentctl.terminal.parser import Given, as_command, given


@as_command("worker", "agentctl worker tcp://scheduler:8786\nagentctl worker tcp://10.0.0.5:8786 --gates 4 --agents 32")
@click.argument("address")
@click.option("--gates", type=click.IntRange(0, 256), default=os.cpu_count(), show_default="cores", help="Gates at a time.")
@click.option(
    "--agents", type=click.IntRange(0, 10_000), default=os.cpu_count(), show_default="cores", help="Sessions at a time."
)
@click.option(
    "--name", default=f"{socket.gethostname()}-{os.getpid()}", show_default="host and process", help="What it is called."
)
@click.option("--dir", "folder", type=click.Path(), help="Where its mirrors of hubs are (default: ~/.cache/agentctl/mirrors).")
@given
def command(given: Given, address: str, gates: int, agents: int, name: str, folder: str | None) -> int:
    """Run gates and sessions of other stations on this machine.

    ADDRESS is that of the scheduler of a Dask cluster (pip install 'agentctl[dask]'; `dask
    scheduler` starts one). It has to reach the hub with Git, by the address that the stations
    use, and agents have the keys that are in this worker's environment. Whoever reaches the
    scheduler can run anything here: use Dask's TLS between machines. It works until Ctrl-C;
    sessions are then stopped, and their work is made safe. When the scheduler is gone, it
    waits for it.
    """
    from agentctl.cluster.serving import Offer, serve

    serve(Offer(address, gates, agents, name, folder), given.note)
    return 0
