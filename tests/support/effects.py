"""A process that is killed before its n-th effect: on the file system, or by starting another process."""

import os
import signal
import sys
import traceback

EFFECTS = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
    "subprocess.Popen",
}


def is_effect(event, args):
    opened = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return event in EFFECTS or bool(opened)


def killed_before(n, act):
    """Run `act` in a child that is killed with SIGKILL before its n-th effect. True if it was; False if it came to its end
    before that. Raises AssertionError if it failed."""
    child = os.fork()
    if child == 0:
        _act_and_exit(n, act)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), "it failed by itself: see its traceback"
    return status != 0


def _act_and_exit(n, act):
    left = [n]

    def hook(event, args):
        if is_effect(event, args):
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        act()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def every_kill(act):
    """Yield n for each n-th effect before which `act` was killed, until it comes to its end."""
    n = 1
    while killed_before(n, act):
        yield n
        n += 1
