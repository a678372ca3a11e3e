"""A hub on a remote, a bare repository, and stations: clones of it in which people, fleets and bots work."""

from pathlib import Path

from tests.support.hub import Repo, git, write


class Team:
    def __init__(self, folder, **values):
        self.folder = Path(folder)
        first = Repo.create(self.folder / "first", **values)
        git(self.folder, "clone", "-q", "--bare", str(first.path), "hub.git")
        self.path = self.folder / "hub.git"

    def station(self, name):
        """A clone whose hub is the remote."""
        made = self.clone(name)
        made.cli("init", "--remote", "origin")
        return Station(made.path)

    def clone(self, name):
        git(self.folder, "clone", "-q", str(self.path), name)
        git(self.folder / name, "config", "user.name", name)
        return Repo(self.folder / name)

    @property
    def refs(self):
        """The hub's refs, by name."""
        listed = (line.split() for line in git(self.path, "for-each-ref", "--format=%(objectname) %(refname)").splitlines())
        return {name: oid for oid, name in listed}

    @property
    def tip(self):
        return self.refs["refs/heads/main"]

    def push(self, files, message="a colleague's work", branch="main"):
        """A colleague commits to trunk and pushes; the commit's id."""
        folder = self.folder / "colleague"
        if not folder.exists():
            self.clone("colleague")
        git(folder, "fetch", "-q")
        git(folder, "checkout", "-q", "-B", branch, "origin/main")
        write(folder, files)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", message)
        git(folder, "push", "-q", "origin", branch)
        return git(folder, "rev-parse", "HEAD").strip()

    def hook(self, name, script):
        """A hook of the hub, or none of that name if there is no script."""
        path = self.path / "hooks" / name
        path.unlink(missing_ok=True)
        if script:
            path.write_text("#!/bin/sh\n" + script)
            path.chmod(0o755)


class Station(Repo):
    """A clone, which sees of the hub what it was when it last looked."""

    @property
    def seen(self):
        self.hub.refs.refresh()
        return self

    def proven(self):
        self.hub.refs.refresh()
        return super().proven()
