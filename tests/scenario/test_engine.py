"""Jobs as real processes: how they end, and that nothing of them survives."""

import gc
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest

from agentctl.core.text.json_form import replace
from agentctl.engine import local, owner, process_tree, processes
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job

ESCAPE = """\
import os, sys
# A daemon by the book: own session, two forks, no open file, no environment.
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
os.closerange(0, 64)
environment = {} if sys.argv[2] == "scrubbed" else os.environ
os.execve("/bin/sleep", ["sleep", "1000"], environment)
"""

SUPERVISOR = """\
import sys, time
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job
log, mark, *argv = sys.argv[1:]
running = LOCAL.start(Job(tuple(argv), "/", {"PATH": "/usr/bin:/bin"}, log, mark))
print(running.pid, flush=True)
time.sleep(1000)
"""


def eventually(check):
    """The first true answer within a generous deadline."""
    deadline = time.monotonic() + 10
    while not (answer := check()):
        assert time.monotonic() < deadline, "did not happen within 10 s"
        time.sleep(0.01)
    return answer


def exists(pid):
    try:
        return owner.identity(pid)
    except ProcessLookupError:
        return None


class World:
    def __init__(self, folder):
        self.folder = folder
        self.mark = f"test-{uuid.uuid4()}"
        self.log = folder / "log"

    def job(self, *argv, **fields):
        env = {"PATH": "/usr/bin:/bin"}
        return Job(argv, str(self.folder), env, str(self.log), self.mark, **fields)

    def shell(self, script, **fields):
        return self.job("sh", "-c", script, **fields)

    def run(self, job):
        return self.end(LOCAL.start(job))

    def end(self, running):
        ended = running.wait(20)
        assert ended is not None, "still running after 20 s"
        return ended

    def escaping(self, then, kind="scrubbed"):
        """A script that starts a daemon, waits for it to run, then does `then`."""
        script = self.folder / "escape.py"
        script.write_text(ESCAPE)
        file = self.folder / f"daemon-{kind}"
        return f"{sys.executable} -S {script} {file} {kind}; while ! [ -e {file} ]; do sleep 0.01; done; {then}"

    def daemon(self, kind="scrubbed"):
        file = self.folder / f"daemon-{kind}"
        eventually(file.exists)
        return int(file.read_text())

    def text(self):
        return self.log.read_text(errors="replace")


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    processes.sweep(world.mark)


@pytest.mark.parametrize("code", [0, 1, 125, 255])
def test_the_exit_code_is_told(world, code):
    ended = world.run(world.shell(f"exit {code}"))
    assert (ended.reason, ended.exit, ended.signal) == ("exited", code, None)


def test_death_by_a_signal_is_told(world):
    ended = world.run(world.shell("kill -SEGV $$"))
    assert (ended.reason, ended.exit, ended.signal) == ("exited", None, signal.SIGSEGV)


def test_the_job_gets_its_environment_input_and_folder_and_nothing_else(world):
    (world.folder / "input").write_text("from the file\n")
    script = "cat; pwd; env; ls -l /proc/self/fd; echo oops >&2"
    job = world.shell(script, stdin=str(world.folder / "input"))
    world.run(replace(job, env=job.env | {"WORD": "grün\udcff"}))
    data = world.log.read_bytes()
    assert data.startswith(b"from the file\n" + os.fsencode(world.folder) + b"\n")
    assert b"WORD=gr\xc3\xbcn\xff\n" in data
    assert f"AGENTCTL_RUN={world.mark}\n".encode() in data
    assert b"HOME=" not in data
    assert b"oops\n" in data
    # 0, 1, 2 and the folder that ls itself reads.
    assert data.count(b" -> ") == 4


def test_without_an_input_it_reads_nothing(world):
    assert world.run(world.job("cat")).exit == 0


def test_signals_that_python_ignores_work_in_the_job(world):
    ended = world.run(world.job("sh", "-c", "kill -PIPE $$"))
    assert ended.signal == signal.SIGPIPE


def test_the_log_is_appended_to(world):
    world.run(world.shell("echo one"))
    world.run(world.shell("echo two"))
    assert world.text() == "one\ntwo\n"
    assert world.log.stat().st_mode & 0o077 == 0


def test_a_missing_binary_is_a_reason(world):
    ended = world.run(world.job("no-such-command"))
    assert (ended.reason, ended.exit) == ("not-found", None)
    assert "no-such-command" in ended.message


def test_a_missing_interpreter_is_named_as_such(world):
    script = world.folder / "script"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    ended = world.run(world.job(str(script)))
    assert ended.reason == "not-found" and "interpreter" in ended.message


def test_a_file_that_cannot_be_executed_is_a_reason(world):
    (world.folder / "plain").write_text("text")
    assert world.run(world.job("./plain")).reason == "not-executable"


@pytest.mark.parametrize("field", ["cwd", "stdin"])
def test_what_cannot_be_opened_is_named(world, field):
    ended = world.run(replace(world.job("true"), **{field: "/no/such"}))
    assert ended.reason == "error" and "/no/such" in ended.message


def test_timeout_with_a_command_that_ignores_term(world):
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    ended = world.run(world.shell(script, timeout=0.3, grace=0.2))
    assert ended.reason == "timeout" and ended.signal == signal.SIGKILL
    assert "0.3 s" in ended.message


def test_timeout_lets_a_command_clean_up_within_the_grace(world):
    script = "trap 'echo clean; exit 7' TERM; while :; do sleep 0.05; done"
    ended = world.run(world.shell(script, timeout=0.5, grace=60))
    assert ended.reason == "timeout" and ended.exit == 7
    assert "clean\n" in world.text()


def test_a_daemon_dies_when_the_command_exits(world):
    ended = world.run(world.shell(world.escaping("exit 4")))
    assert (ended.reason, ended.exit, ended.survivors) == ("exited", 4, 1)
    assert not exists(world.daemon())


def test_processes_that_keep_forking_die(world):
    loop = "while :; do (setsid sh -c 'sleep 1000 & sleep 0.05') & sleep 0.01; done"
    ended = world.run(world.shell(f"({loop}) & sleep 0.3"))
    assert ended.exit == 0 and ended.survivors > 0
    assert processes.sweep(world.mark) == 0


def test_a_daemon_dies_when_the_job_is_stopped(world):
    running = LOCAL.start(world.shell(world.escaping("exec sleep 1000")))
    pid = world.daemon()
    running.stop()
    ended = world.end(running)
    assert ended.reason == "stopped"
    assert not exists(pid)


@pytest.mark.parametrize("suspended", [False, True])
def test_a_daemon_dies_when_the_job_is_killed(world, suspended):
    running = LOCAL.start(world.shell(world.escaping("trap '' TERM; sleep 1000"), grace=1000))
    pid = world.daemon()
    if suspended:
        os.kill(running.pid, signal.SIGSTOP)
    running.kill()
    ended = world.end(running)
    assert (ended.reason, ended.signal) == ("stopped", signal.SIGKILL)
    assert not exists(pid)


@pytest.mark.parametrize("how", ["timeout", "stop", "kill"])
def test_a_job_that_holds_up_its_guard_ends_all_the_same(world, monkeypatch, how):
    """It is the guard that knows the limits; where it is suspended again and again, whoever started it knows when it was due."""
    monkeypatch.setattr(local, "LINGER", 0.5)
    script = world.escaping("trap '' TERM; while :; do kill -STOP $PPID; done")
    running = LOCAL.start(world.shell(script, grace=0.1, timeout=0.5 if how == "timeout" else None))
    pid = world.daemon()
    if how != "timeout":
        getattr(running, how)()
    assert world.end(running).reason in ("lost", "timeout", "stopped")
    assert not exists(pid)


def test_a_stop_that_is_ignored_becomes_a_kill(world):
    running = LOCAL.start(world.shell("trap '' TERM; echo ready; sleep 1000", grace=0.2))
    eventually(lambda: "ready" in world.text())
    running.stop()
    running.stop()
    assert world.end(running).signal == signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_guard_stops_the_job(world, number):
    running = LOCAL.start(world.shell("echo ready; exec sleep 1000"))
    eventually(lambda: "ready" in world.text())
    os.kill(running.pid, number)
    ended = world.end(running)
    assert (ended.reason, ended.signal) == ("stopped", signal.SIGTERM)


def test_everything_dies_with_a_supervisor_that_is_killed(world):
    script = world.escaping("trap '' TERM; sleep 1000")
    arguments = [str(world.log), world.mark, "sh", "-c", script]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with supervisor:
        guard = int(supervisor.stdout.readline())
        pid = world.daemon()
        supervisor.kill()
    eventually(lambda: not exists(guard))
    assert not exists(pid)
    assert processes.sweep(world.mark) == 0


def test_a_dropped_job_dies(world):
    running = LOCAL.start(world.shell(world.escaping("sleep 1000")))
    pid = world.daemon()
    with pytest.warns(ResourceWarning):
        del running
    eventually(lambda: not exists(pid))


@pytest.mark.parametrize("how", ["marked", "scrubbed"])
def test_what_a_killed_guard_leaves_is_killed(world, how):
    """Whoever starts jobs inherits it, whatever session and environment it has made for itself."""
    other = LOCAL.start(world.shell("echo other; exec sleep 1000"))
    eventually(lambda: "other" in world.text())
    running = LOCAL.start(world.shell(world.escaping("echo $$; exec sleep 1000", how)))
    pid = world.daemon(how)
    leader = int(eventually(lambda: world.text().removeprefix("other\n")))
    os.kill(running.pid, signal.SIGKILL)
    ended = world.end(running)
    assert ended.reason == "lost" and "signal 9" in ended.message
    assert not exists(leader) and not exists(pid)
    assert other.poll() is None
    other.kill()
    assert world.end(other).reason == "stopped"


def test_what_others_leave_to_us_stays_no_zombie(world, monkeypatch):
    """As a Git does that is ended before its own children: they come to whoever starts jobs."""
    monkeypatch.setattr(local, "LINGER", 0)
    world.run(world.job("true"))
    subprocess.run(["sh", "-c", "sleep 0.1 & echo $! >pid"], cwd=world.folder, check=True)
    left = int((world.folder / "pid").read_text())
    eventually(lambda: process_tree.state(left)[0] == b"Z")
    for _ in range(2):
        world.run(world.job("true"))
    assert process_tree.state(left) is None


def test_a_sweep_finds_what_is_marked_and_nobody_watches(world):
    """As after the death of a guard and of the supervisor."""
    env = os.environ | {processes.MARK: world.mark}
    with subprocess.Popen(["sleep", "1000"], env=env, start_new_session=True) as left:
        eventually(lambda: [pid for pid, _ in processes.marked(world.mark)] == [left.pid])
        assert processes.sweep(world.mark, keep=frozenset({world.mark})) == 0
        assert processes.sweep(world.mark + "x") == 0
        assert left.poll() is None
        assert processes.sweep(world.mark[:-3]) == 1


def test_the_output_limit_kills_and_cuts_the_log(world):
    world.log.write_text("before\n")
    ended = world.run(world.job("yes", output=10_000))
    assert (ended.reason, ended.signal) == ("output", signal.SIGKILL)
    assert "10000 bytes" in ended.message
    assert world.log.stat().st_size == len("before\n") + 10_000


def test_a_command_that_exits_over_the_output_limit_is_told_apart(world):
    ended = world.run(world.shell("head -c 2000 /dev/zero", output=1000))
    assert ended.reason == "output"
    assert world.log.stat().st_size == 1000
    assert world.run(world.shell("head -c 1000 /dev/zero", output=1000)).reason == "exited"


def test_the_memory_limit(world):
    greedy = (sys.executable, "-S", "-c", "bytearray(10**9)")
    assert world.run(world.job(*greedy, memory=300_000_000)).exit == 1
    assert "MemoryError" in world.text()


def test_the_file_size_limit(world):
    command = ("dd", "if=/dev/zero", "of=big", "bs=1000", "count=9")
    ended = world.run(world.job(*command, file_size=5000))
    assert ended.signal == signal.SIGXFSZ and "more than 5000 bytes to one file" in ended.message
    assert (world.folder / "big").stat().st_size == 5000


def test_a_shell_passes_on_that_a_file_was_too_large(world):
    ended = world.run(world.shell("head -c 9000 /dev/zero >big; exit $?", file_size=5000))
    assert (ended.reason, ended.exit) == ("exited", 128 + signal.SIGXFSZ) and "limits.file_size" in ended.message
    assert world.run(world.shell("exit 153")).message == ""


def test_what_has_more_processes_than_it_may_is_killed(world):
    many = "for i in $(seq %d); do sleep 1000 & done; echo all; wait"
    ended = world.run(world.shell(many % 60, processes=40))
    assert (ended.reason, ended.signal) == ("processes", signal.SIGKILL)
    assert ended.message == "had more than 40 processes at a time (limits.processes)"
    assert processes.sweep(world.mark) == 0
    running = LOCAL.start(world.shell("echo anew; " + many % 38, processes=40))
    eventually(lambda: world.text().endswith("anew\nall\n"))
    assert running.wait(1) is None, "it has no more than it may"
    running.kill()
    assert world.end(running).reason == "stopped"


def test_a_fork_storm_is_ended_though_each_of_it_leaves_its_session(world):
    """Of a thousand processes at most, should it not be."""
    storm = world.folder / "storm.py"
    storm.write_text("import os, time\nfor _ in range(10):\n    if os.fork() == 0: os.setsid()\ntime.sleep(1000)\n")
    ended = world.run(world.job(sys.executable, "-S", str(storm), processes=100))
    assert ended.reason == "processes" and "could not be killed" not in ended.message
    assert processes.sweep(world.mark) == 0


def test_cpu_time_includes_grandchildren(world):
    busy = f"{sys.executable} -S -c 'import time\nwhile time.process_time() < 0.3: pass'"
    ended = world.run(world.shell(f'sh -c "{busy}"; true'))
    assert ended.exit == 0 and ended.cpu >= 0.3 and ended.maxrss > 1_000_000


def test_activity_counts_the_processes_without_the_guard(world):
    running = LOCAL.start(world.shell("sleep 1000 & sleep 1000 & wait"))
    eventually(lambda: running.activity().processes == 3)
    running.kill()
    world.end(running)
    assert running.activity() == processes.Activity(0.0, 0)


def test_fifty_jobs_from_eight_threads_and_a_selector(world):
    codes, lock, todo = {}, threading.Lock(), list(range(50))

    def work():
        while True:
            with lock:
                if not todo:
                    return
                number = todo.pop()
            job = replace(world.shell(f"exit {number}"), log=str(world.folder / str(number)))
            running = LOCAL.start(job)
            with selectors.DefaultSelector() as selector:
                selector.register(running, selectors.EVENT_READ)
                assert selector.select(20)
            codes[number] = running.poll().exit

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {number: number for number in range(50)}


def test_no_descriptor_and_no_zombie_is_left_after_many_jobs(world):
    world.run(world.job("true"))
    gc.collect()  # What earlier tests left to be collected has files open, too.
    before, others = len(os.listdir("/proc/self/fd")), process_tree.children(os.getpid())
    for _ in range(20):
        jobs = [LOCAL.start(world.job("true")) for _ in range(10)]
        assert [world.end(job).exit for job in jobs] == [0] * 10
        assert [job.poll().reason for job in jobs] == ["exited"] * 10
    assert len(os.listdir("/proc/self/fd")) == before
    assert process_tree.children(os.getpid()) == others


def test_a_job_does_not_inherit_what_another_has_open(world):
    first = LOCAL.start(world.job("sleep", "1000"))
    second = LOCAL.start(world.job("sleep", "1000"))
    first.kill()
    world.end(first)
    assert second.poll() is None
    second.kill()
    assert world.end(second).reason == "stopped"


def test_a_request_larger_than_a_pipe(world):
    text = "x" * 100_000
    world.run(world.job("printf", "%s", text, text))
    assert world.text() == text * 2


def test_a_log_that_cannot_be_opened_is_an_error_at_once(world):
    with pytest.raises(OSError):
        LOCAL.start(replace(world.job("true"), log="/no/such/log"))
