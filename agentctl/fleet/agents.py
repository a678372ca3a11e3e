"""The worktrees of agents: made, looked into, emptied and removed without losing work."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.text.json_form import replace
from agentctl.engine import locks
from agentctl.errors import NotFound, Refused, Timeout, UsageError
from agentctl.fleet import nested, set_up
from agentctl.git import conversion, crossing, files, folders, modes, private_repository, scratch, worktrees
from agentctl.git.files import Files
from agentctl.git.objects import ObjectError, Objects, Person
from agentctl.git.process import GitError
from agentctl.git.remote import Declined
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Condition, Worktree, of_agent
from agentctl.messages import some

REST = "rest"
"""The last part of the salvage ref of commits that an agent itself left: amended, reset, stashed ones."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is in an agent's worktree; within the context of `found`, all of it is in the hub."""

    head: str
    """The commit of HEAD or, if that is not new, a new one at the tip of the agent's own branch."""
    whole: str
    """A commit on top of `head` that holds the files as they are; `head` itself if they do not differ."""
    files: Files
    unfinished: str
    """What was under way, such as "a rebase"; empty if nothing was."""
    tips: tuple[str, ...]
    """The commits of the agent that are to stay reachable."""
    repositories: tuple[str, ...]
    """Paths of repositories inside the worktree that hold work, or new files if they lack a worktree."""
    inner: tuple[str, ...]
    """Those of `files.added` that are in a repository without a worktree, such as a renamed .git."""
    in_set_up: tuple[str, ...]
    """Those of `files.added` that are in what agents.setup has made, and that `head` does not hold."""
    new: bool
    """True if `head` holds commits that trunk lacks, even an empty one: it says that nothing was left to do."""

    @property
    def empty(self) -> bool:
        """True if there is nothing to submit."""
        return not self.new and self.whole == self.head


def path_of(hub: Hub, agent: str) -> str:
    return of_agent(hub, agent).path


def person(agent: str) -> Person:
    return Person(agent, f"{agent}@agents.localhost")


def lock(hub: Hub, agent: str) -> locks.Held:
    """Acquire the lock that is held while an agent's session runs or its worktree is changed."""
    return locks.acquire(hub.own_path("locks", "agents", f"{agent}.lock"), f"agent {agent}")


def prepare(
    hub: Hub, agent: str, commit: str, trunk: str, known: dict[str, str] | None = None, setup_on: Sequence[str] = ()
) -> tuple[Worktree, bool]:
    """Put the agent's worktree on `commit`, clean but for ignored files; return it, and whether its setup is due.

    What was in the worktree is salvaged first. `trunk` is the name of the branch, and `known` are refs that the agent
    is to find in its repository. By a change of the files that match `setup_on` the setup is due. The caller holds the
    agent's lock.
    """
    tree = of_agent(hub, agent)
    worktrees.finish(tree)
    if tree.there:
        make_safe(hub, agent, tree, commit, ignored=not os.path.exists(tree.own(worktrees.READY)))
    used = tree.there
    worktrees.make(tree)
    if os.path.exists(tree.own(worktrees.READY)) and not set_up.whole(tree):
        os.unlink(tree.own(worktrees.READY))
    new = not os.path.exists(tree.own(worktrees.READY))
    if new:
        set_up.forget(tree)
    try:
        due = worktrees.check_out(tree, commit, ignored=new) or set_up.stale(tree, setup_on)
    except Timeout:
        if not used:
            raise
        # Ignored files, which nobody has looked at yet, may hold a Git.
        worktrees.set_aside(tree)
        return prepare(hub, agent, commit, trunk, known, setup_on)
    if due and not new:
        os.unlink(tree.own(worktrees.READY))
    worktrees.give(tree, trunk, refnames.AGENT_BRANCH + agent, known)
    return tree, new or due


def ready(tree: Worktree, by_setup: bool, setup_on: Sequence[str] = ()) -> None:
    """Note that a new worktree is set up.

    With `by_setup` a command did that. The command may have put things into the worktree's Git directory, so that is
    kept as a template. What it has put in the place of a file or folder of trunk's is gone with the next check-out, so
    the worktree is new to the next session too.
    """
    if by_setup:
        set_up.note(tree, setup_on)
        worktrees.keep_template(tree)
        if files.other_kinds(tree.look()):
            return
    folders.put(tree.own(worktrees.READY), "")


@contextlib.contextmanager
def found(hub: Hub, agent: str, tree: Worktree, trunk: str, message: str, ignored: bool = False) -> Iterator[Found]:
    """Look into a worktree whose lock the caller holds.

    Within the context all commits of the worktree are in the hub, and so is one with its uncommitted files. The caller
    makes a ref name them before the context ends. Raises Refused if they cannot be taken over.

    Commits are new if the commit `trunk` does not reach them. Ignored files are passed over. Ignored repositories are
    passed over too, unless `ignored` says that they are about to be deleted.
    """
    before = hub.objects.commit(_base(tree) or trunk).tree
    # A repository whose files are themselves part of trunk is nobody's work.
    paths = tuple(path for path in nested.inside(tree.path) if not hub.objects.at(before, f"{path}/HEAD"))
    git_dir = private_repository.repository(tree.path, tree.path)
    seen = private_repository.flags(git_dir) if git_dir else private_repository.Flags()
    theirs = _alone(tree, git_dir)
    own = crossing.commits(tree.own("reader"), theirs)
    head = _head(hub, tree, agent, git_dir, own, trunk)
    store = _store(tree)
    files.fresh_index(tree.own("look.index"), tree.own("index"))
    look = tree.look(store, (theirs,), "look.index")
    differing = files.differing(look, head, seen.absent, _base(tree), alien=_alien(hub, git_dir))
    as_made = set_up.unchanged(tree, look, differing.changed)
    in_set_up = set_up.written_into(tree, look)
    differing = replace(
        differing,
        changed=tuple(path for path in differing.changed if path not in as_made),
        added=tuple(dict.fromkeys([*differing.added, *in_set_up])),
    )
    whole = _snapshot(tree, look, head, differing, agent, message) if differing.dirty else head
    paths = tuple(dict.fromkeys([*paths, *differing.submodules]))
    inner = nested.work(hub, tree, paths if ignored else nested.not_ignored(look, paths), store, person(agent))
    bare = [path for path in paths if not os.path.lexists(os.path.join(tree.path, path, ".git"))]
    inside = {path: folder for path in differing.added for folder in bare if path.startswith(folder + "/")}
    tips = tuple(oid for oid in dict.fromkeys([*own, head, whole, *inner.tips]) if oid != _base(tree))
    with crossing.brought(hub, tree.own("reader"), (store, theirs, *inner.objects), tips, trunk):
        new = head != _base(tree) and bool(hub.git("rev-list", "-n1", head, "^" + trunk))
        repositories = tuple(dict.fromkeys([*inner.paths, *inside.values()]))
        under_way = _unfinished(git_dir, seen)
        yield Found(head, whole, differing, under_way, tips, repositories, tuple(inside), in_set_up, new)
    for made in (store, theirs, *inner.objects):
        shutil.rmtree(made, ignore_errors=True)


def _alone(tree: Worktree, git_dir: str | None) -> str:
    """Return a folder of the agent's own objects, empty if there are none, or raise Refused."""
    return crossing.alone(os.path.join(git_dir, "objects") if git_dir else os.devnull, tree.own("theirs"))


def _alien(hub: Hub, git_dir: str | None) -> frozenset[str]:
    """Return the alien filters: the agent's own Git may have run them, and ours does not."""
    return conversion.alien_filters(hub, folders.content(os.path.join(git_dir, "config")) or b"" if git_dir else b"")


def _unfinished(git_dir: str | None, seen: private_repository.Flags) -> str:
    return (private_repository.unfinished(git_dir) if git_dir else "") or ("a merge" if seen.unmerged else "")


def _store(tree: Worktree) -> str:
    """Make an empty folder for the objects that a look into the worktree writes."""
    store = tree.own("objects")
    shutil.rmtree(store, ignore_errors=True)
    modes.folder(store)
    return store


def _head(hub: Hub, tree: Worktree, agent: str, git_dir: str | None, own: list[str], trunk: str) -> str:
    """Return the commit that counts: HEAD, or the tip of the agent's branch if HEAD was put back to an old one."""
    base = _base(tree) or trunk
    if not git_dir:
        return base
    head, made = private_repository.head(git_dir)[0], set(own)
    branch = private_repository.refs(git_dir).get(refnames.AGENT_BRANCH + agent)
    if head in made:
        return head
    if branch in made and not private_repository.unfinished(git_dir):
        return branch
    return head if head and hub.objects.exists(head) and _is_commit(hub, head) else base


def _base(tree: Worktree) -> str:
    """Return the commit that was checked out: trunk's tip when the session began."""
    record = tree.record
    return record.base if record else ""


def _is_commit(hub: Hub, oid: str) -> bool:
    try:
        return bool(hub.objects.commit(oid))
    except ObjectError:
        return False


def _snapshot(tree: Worktree, look: scratch.Scratch, head: str, differing: Files, agent: str, message: str) -> str:
    """Return a commit on top of `head` with the files as they are.

    It is the commit that an earlier look made, if the files have not changed since.
    """
    built, record = files.tree_with(look, differing.dirty), tree.record
    assert record, tree.path
    if record.whole and _is_commit(tree.hub, record.whole):
        before = tree.hub.objects.commit(record.whole)
        if before.tree == built and before.parents == (head,):
            return record.whole
    own = Objects(os.path.dirname(look.objects))
    try:
        made = own.write_commit(built, (head,), message, time.time(), author=person(agent), committer=person(agent))
    finally:
        own.close()
    tree.note(replace(record, whole=made))
    return made


@contextlib.contextmanager
def commit_of(hub: Hub, tree: Worktree, name: str, trunk: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (commit that `name` stands for in an agent's repository, branch there, tracked files that changed).

    The branch is given by its short name. The files are paths, and differ from HEAD. Within the context the commit is
    in the hub; the caller makes a ref name it before the context ends.

    Raises NotFound, UsageError, and Refused for HEAD in the middle of a merge, a rebase or the like.
    """
    git_dir = private_repository.repository(tree.path, tree.path)
    if not git_dir:
        raise NotFound(f"{tree.path} has no repository any more", hint="agentctl rm AGENT; its files are kept")
    if name == "HEAD" and (under_way := _unfinished(git_dir, private_repository.flags(git_dir))):
        raise Refused(f"{under_way} is under way in {tree.path}", hint="finish it or abort it first: git status")
    with hub.scratch() as place:
        objects = crossing.alone(os.path.join(git_dir, "objects"), place + ".theirs")
        head, branch = private_repository.head(git_dir)
        scratch.write(place, refs=private_repository.refs(git_dir), head=f"ref: {branch}" if branch else head or "")
        reader = scratch.Scratch(place, objects, (os.path.join(hub.git_dir, "objects"),))
        found = reader.text("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}", ok=(0, 1, 128))
        if not found:
            raise UsageError(f"no commit called {name!r}", hint="git log --oneline")
        changed = _changed(hub, tree, git_dir, head, objects, place) if head else ()
        with crossing.brought(hub, place, (objects,), [found], trunk):
            yield found, (branch or "").removeprefix("refs/heads/"), changed


def _changed(hub: Hub, tree: Worktree, git_dir: str, head: str, objects: str, place: str) -> tuple[str, ...]:
    """List the paths of tracked files that differ from `head`.

    Somebody else may look at the worktree at the same time. So this look has folders of its own, whose names begin with
    `place`.
    """
    store, index = place + ".made", place + ".index"
    modes.folder(store)
    files.fresh_index(index, tree.own("index"))
    look = scratch.for_files(
        hub, place + ".look", tree.path, index, store, (objects, os.path.join(hub.git_dir, "objects")), scratch.PRIVATE
    )
    return files.differing(look, head, private_repository.flags(git_dir).absent, _base(tree), alien=_alien(hub, git_dir)).changed


def salvage(hub: Hub, agent: str, tree: Worktree, trunk: str, ignored: bool = True) -> str:
    """Keep what a worktree holds in a salvage ref; return the ref's name, or "" if all is safe already.

    Raises Refused if something cannot be read. For `ignored` see `found`.
    """
    record = tree.record
    if not record or record.state is not Condition.GIVEN:
        return ""
    with found(hub, agent, tree, trunk, "salvaged: files that no commit held\n", ignored) as there:
        kept = keep(hub, agent, there)
    if there.files.hidden:
        raise Refused(
            f"{there.files.hidden[0]} cannot be read, or only by a filter of that repository's own",
            hint=f"chmod u+r, in {tree.path}",
        )
    return kept


def make_safe(hub: Hub, agent: str, tree: Worktree, trunk: str, ignored: bool = True) -> str:
    """Salvage what a worktree holds, or move its folder aside if that fails.

    Returns the name of the salvage ref or the new path, or "" if all is safe already.
    """
    try:
        return salvage(hub, agent, tree, trunk, ignored)
    except (Refused, GitError, OSError, Timeout):
        return worktrees.set_aside(tree)


def unsafe(hub: Hub, agent: str, tree: Worktree, trunk: str) -> str:
    """Describe the work in the worktree that no ref of the hub reaches; return "" if there is none.

    Raises Contended if the agent's session runs.
    """
    with lock(hub, agent):
        record = tree.record
        if not record or record.state is not Condition.GIVEN or not tree.there:
            return ""
        with found(hub, agent, tree, trunk, "uncommitted files\n", ignored=True) as there:
            unreached = _unreached(hub, agent, there.tips)
            if there.whole in unreached and there.files.dirty:
                return f"not committed: {some(there.files.dirty)}"
            return "commits" if unreached else ""


@contextlib.contextmanager
def kept_if_declined(hub: Hub, agent: str, there: Found) -> Iterator[None]:
    """If the remote declines what the context writes, keep all that was found in a ref of this repository, and name it in the error."""
    try:
        yield
    except Declined as error:
        error.values["kept"] = keep(hub, agent, there, here=True)
        raise


def keep(hub: Hub, agent: str, there: Found, besides: bool = False, here: bool = False) -> str:
    """Make a salvage ref for all that was found and no ref reaches; return its name, or "" if nothing was left to do.

    With `besides` a result was submitted, so the agent itself passed over what is left. That goes to one ref that
    grows, not to a new one. With `here` the ref is one of this repository, where the hub stands on a remote.
    """
    unreached = _unreached(hub, agent, there.tips)
    if not unreached:
        return ""
    tips = _ends(hub, unreached)
    refs, folder = (hub.here, refnames.KEPT) if here else (hub.refs, refnames.SALVAGE)
    listed = refs.read([folder + agent])
    now = time.time()
    top = there.whole if there.whole in tips else there.head
    # A commit that is all there is, such as one of a stash, is named itself.
    parents = tips if len(tips) == 1 else [top, *(tip for tip in tips if tip != top)]
    if besides:
        ref = f"{folder}{agent}/{REST}"
        before = listed[ref].oid if ref in listed else None
        parents = ([before] if before else []) + [tip for tip in tips]
    else:
        # A ref that somebody else named may have no number.
        numbers = [int(last) for name in listed if (last := name.rsplit("/", 1)[1]).isdecimal()]
        ref, before = f"{folder}{agent}/{max(numbers, default=0) + 1}", None
    made = parents[0]
    if len(parents) > 1:
        made = hub.objects.write_commit(hub.objects.commit(top).tree, parents, f"salvage of {agent}\n", now)
    move = refs.transaction(f"salvage of {agent}")
    move.update(ref, made, before)
    hub.objects.store.flush()
    move.commit()
    hub.sync()
    return ref


def _unreached(hub: Hub, agent: str, tips: tuple[str, ...]) -> list[str]:
    """List the commits in an agent's worktree that `tips` reach and no ref does."""
    near = (refnames.branch(""), refnames.STATE, f"{refnames.INBOX}{agent}", f"{refnames.SALVAGE}{agent}")
    return hub.unreached(tips, near) if tips else []


def _ends(hub: Hub, commits: list[str]) -> list[str]:
    """List those of `commits` on which none of the others builds."""
    below = {parent for oid in commits for parent in hub.objects.commit(oid).parents}
    return [oid for oid in commits if oid not in below]


def remove(hub: Hub, agent: str, trunk: str) -> str:
    """Remove an agent's worktree after its work is salvaged.

    Returns the salvage ref, or "" if there was no work. Returns the path to which the folder was moved if its work
    cannot be read, or if it is another folder than the one that agentctl made.

    Raises Contended if the agent's session runs.
    """
    with lock(hub, agent):
        tree = of_agent(hub, agent)
        worktrees.finish(tree)
        kept = ""
        if tree.there:
            kept = make_safe(hub, agent, tree, trunk)
        elif os.path.lexists(tree.path):
            kept = worktrees.set_aside(tree)
        worktrees.remove(tree)
    return kept


def names(hub: Hub) -> list[str]:
    """List the agents that have a worktree."""
    return [name for name in worktrees.known(hub, worktrees.AGENTS) if refnames.valid_name(name)]
