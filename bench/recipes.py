"""The recipes of docs/ci run as they stand, by what a forge does: a fresh clone, and the event's environment.

    python -m bench.recipes

The wheel is built, and pip finds it as it would find a published one. For each recipe: three changes are submitted, one of them
bad; two jobs run at a time, then one more. Both good changes have landed at the hub, the bad one is rejected, `verify` is clean, and
the job has left what a forge shows.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.common import ENV, git

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "docs" / "ci"
POLICY = "version: 1\nremote: origin\ngates:\n  - {name: gate, run: '! grep -n BUG *.txt /dev/null'}\n"


@dataclass(frozen=True)
class Job:
    """What a forge runs: lines of a shell, in a fresh clone."""

    lines: tuple[str, ...]
    env: dict[str, str]
    leaves: tuple[str, ...]
    """The files that the job has left in its clone, or in its folder."""


def jobs(hub: Path) -> Iterator[tuple[str, Job]]:
    """Yield (name, job) of each recipe."""
    github: Any = yaml.safe_load((RECIPES / "github.yml").read_text())
    steps = github["jobs"]["queue"]["steps"]
    assert steps[0]["uses"].startswith("actions/checkout@")
    lines = tuple(step["run"] for step in steps if "run" in step)
    event = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule", "GITHUB_STEP_SUMMARY": "../summary.md"}
    yield "github", Job(lines, event, ("junit.xml", "../summary.md"))
    gitlab: Any = yaml.safe_load((RECIPES / "gitlab.yml").read_text())
    # The address is put together from the forge's own variables; here the forge is a folder.
    lines = tuple(line for line in gitlab["merge-queue"]["script"] if not line.startswith("git remote set-url origin "))
    assert len(lines) == len(gitlab["merge-queue"]["script"]) - 1
    event = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"}
    yield "gitlab", Job(lines, event, ("junit.xml", "quality.json", "summary.md"))
    cron = {"AGENTCTL_URL": str(hub), "AGENTCTL_PLACE": str(hub.parent / "cron")}
    yield "cron", Job((f"sh {RECIPES / 'cron.sh'}",), cron, ("../cron/junit.xml",))


def made_hub(folder: Path) -> Path:
    """Make a bare hub with a policy, and clone it for somebody who submits."""
    first = folder / "first"
    first.mkdir(parents=True)
    git(str(first), "init", "-q", "-b", "main")
    (first / ".agentctl").mkdir()
    (first / ".agentctl/policy.yaml").write_text(POLICY)
    git(str(first), "add", "-A")
    git(str(first), "commit", "-q", "-m", "begin")
    git(str(folder), "clone", "-q", "--bare", str(first), "hub.git")
    git(str(folder), "clone", "-q", "hub.git", "ann")
    return folder / "hub.git"


def submit(ann: Path, agentctl: str, env: dict[str, str], name: str, text: str) -> None:
    git(str(ann), "checkout", "-q", "-b", name, "origin/main")
    (ann / f"{name}.txt").write_text(text)
    git(str(ann), "add", "-A")
    git(str(ann), "commit", "-q", "-m", name)
    subprocess.run([agentctl, "submit", "--change", name], cwd=ann, env=env, check=True, capture_output=True)


def run(job: Job, hub: Path, name: str, env: dict[str, str], skip: str = "") -> tuple[int, str]:
    """Run a job in a fresh shallow clone as a forge does; lines that begin with `skip` are left out."""
    clone = hub.parent / name / "clone"
    clone.parent.mkdir()
    git(str(clone.parent), "clone", "-q", "--depth=1", f"file://{hub}", "clone")
    status, said = 0, ""
    for line in job.lines:
        if skip and line.startswith(skip):
            continue
        done = subprocess.run(["bash", "-e", "-c", line], cwd=clone, env=env | job.env, capture_output=True, text=True)
        status, said = done.returncode, said + done.stdout + done.stderr
        if status:
            break
    return status, said


def checked(job: Job, hub: Path, agentctl: str, env: dict[str, str], skip: str = "") -> list[str]:
    """Submit, let jobs run, and return what is not as it should be."""
    ann, wrong = hub.parent / "ann", list[str]()
    for name, text in (("one", "1\n"), ("two", "2\n"), ("bad", "BUG\n")):
        submit(ann, agentctl, env, name, text)
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda name: run(job, hub, name, env, skip), ("job-1", "job-2")))
    if sorted(status for status, _ in ends) not in ([0, 7], [7, 7]):
        wrong.append(f"the jobs ended with {ends}")
    submit(ann, agentctl, env, "three", "3\n")
    if (last := run(job, hub, "job-3", env, skip))[0]:
        wrong.append(f"the last job ended with {last}")
    listed = git(str(hub), "ls-tree", "--name-only", "main").stdout.split()
    if listed != [".agentctl", "one.txt", "three.txt", "two.txt"]:
        wrong.append(f"trunk holds {listed}")
    wrong += [
        f"no {path}"
        for path in job.leaves
        if not (hub.parent / "job-3" / "clone" / path).exists() and not (hub.parent / path[3:]).exists()
    ]
    if "GITHUB_ACTIONS" in job.env and not any(
        "::error title=bad/1 was rejected,file=bad.txt,line=1::" in said for _, said in ends
    ):
        wrong.append("the rejection has no annotation")
    verified = subprocess.run([agentctl, "verify"], cwd=ann, env=env, capture_output=True, text=True)
    return wrong + ([] if verified.returncode == 0 else [verified.stdout + verified.stderr])


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="agentctl-recipes-"))
    failed = 0
    try:
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder / "dist"), str(ROOT)], check=True)
        for name, job in jobs(folder / "x"):
            place = folder / name
            hub = made_hub(place)
            subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True)
            bin = place / "venv" / "bin"
            env = {key: value for key, value in ENV.items() if not key.startswith("PYTHON")}
            env |= {
                "PATH": f"{bin}:{env['PATH']}",
                "PIP_FIND_LINKS": str(folder / "dist"),
                "CI": "true",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            }
            subprocess.run([bin / "python3", "-m", "pip", "install", "-q", "agentctl"], env=env, check=True)
            job = dict(jobs(hub))[name]
            wrong = checked(job, hub, str(bin / "agentctl"), env)
            failed += bool(wrong)
            print(f"{name:<8}{'as it should be' if not wrong else '; '.join(wrong)}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
