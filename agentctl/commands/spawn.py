"""agentctl spawn: one session of one agent, or of many at once."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import click

from agentctl import signals
from agentctl.core import refnames
from agentctl.core.policy import roles
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session, Task
from agentctl.core.text.json_form import facts, replace
from agentctl.errors import AgentctlError, Contended, Refused, UsageError, told
from agentctl.fleet import in_session, session, takeover
from agentctl.fleet.conclusion import Assignment
from agentctl.hub import status, tasks
from agentctl.terminal import agent_program
from agentctl.terminal.parser import Given, as_command, given, read_input


@as_command(
    "spawn",
    """
agentctl spawn ann --prompt 'Fix the typos in README' -- claude -p '{prompt}'
agentctl spawn bob --task fix-crash
agentctl spawn w --count 20 -- ./my-agent.sh
""",
)
@click.argument("name")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
@click.option("--task", help="The task to work on.")
@click.option("--prompt", help="What to do, if there is no task (- reads it from standard input).")
@click.option("--count", type=click.IntRange(1, 10_000), help="That many at once: NAME-1, NAME-2, ...")
@click.option("--adapter", help="How to call the agent (default: the policy's).")
@given
def command(
    given: Given, name: str, argv: tuple[str, ...], task: str | None, prompt: str | None, count: int | None, adapter: str | None
) -> int:
    """Run one session of agent NAME in a worktree of its own.

    The worktree begins at trunk's tip. What it commits is submitted when it ends well, uncommitted files as the policy says;
    of a session that fails everything is kept under a salvage ref. The worktree stays until `agentctl rm NAME`. Exit status 0
    if there is a result.
    """
    in_session.refuse(given.hub)
    if task and (count or prompt):
        raise UsageError("--task goes with neither --count nor --prompt")
    policy = given.policy
    work = tasks.get(given.hub, task) if task else None
    # Work without a task is a worker's, as a task is that names no role.
    role = roles.role(policy.agents, work.role if work else "")
    settings = roles.settings(policy.agents, role) if role else policy.agents
    program = agent_program.chosen(given, given.tip, settings, agent_program.Typed(argv, adapter))
    policy = replace(policy, agents=program.settings)
    queued = set() if task else set(status.open_heads(given.hub).values())
    names = [f"{name}-{n}" for n in range(1, count + 1)] if count else [name]
    for each in names:
        if not refnames.valid_name(each):
            raise UsageError(f"{each!r} cannot be the name of an agent", hint="letters, digits, dot, dash and underscore")
        if each in queued:
            raise Refused(
                f"what {each} handed in is still in the queue, and what it does now, from trunk, would replace that",
                hint=f"agentctl wait {each}, or agentctl spawn with another name",
            )
    if task:
        # A session of the task that was killed together with its supervisor still has its claim.
        takeover.take_over(given.hub, given.trunk, policy)
    text = read_input() if prompt == "-" else prompt or ""
    runs = [
        session.SessionRun(
            given.hub, policy, Assignment(work or _adhoc(each, text), each, program.argv, program.stdin, given.trunk, bool(task))
        )
        for each in names
    ]
    return run(given, runs)


def _adhoc(agent: str, prompt: str) -> Task:
    title = prompt.strip().splitlines()[0][:72] if prompt.strip() else f"work of {agent}"
    return Task(agent, title, prompt, created=time.time())


def run(given: Given, runs: list[session.SessionRun]) -> int:
    """Run the sessions at the same time, and return 0 if each of them has a result, else 1.

    If some could not be run, raises the error of the first of these when all have ended. After a signal, an error of their
    clean-up is told as what that left undone.
    """
    with ThreadPoolExecutor(max_workers=len(runs)) as pool:
        futures: list[Future[Session | Exception]] = []
        try:
            with signals.held():
                for each in runs:
                    futures.append(pool.submit(_one, given, each))
            results = [signals.result(future) for future in futures]
        except KeyboardInterrupt:
            for each in runs:
                each.stop()
            with signals.held():
                for result in [signals.result(future) for future in futures]:
                    # One that was stopped before it began has nothing to clean up.
                    if isinstance(result, Exception) and not isinstance(result, Contended):
                        raise result from None
            raise
    ended: list[Session] = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        ended.append(result)
    return 0 if all(s.end == End.SUBMITTED for s in ended) else 1


def _one(given: Given, each: session.SessionRun) -> Session | Exception:
    agent = each.work.agent
    try:
        ended = each.go()
    except (AgentctlError, OSError) as error:
        if given.json:
            given.emit({"agent": agent, "error": told(error)})
        given.say(f"{agent}: {told(error)}")
        return error
    if given.json:
        given.emit(facts(ended))
    rev = f" as {each.work.task.id}/{ended.revision}" if ended.revision else ""
    given.say(f"{agent}: {ended.end}{rev}{', ' + ended.note if ended.note else ''}")
    return ended
