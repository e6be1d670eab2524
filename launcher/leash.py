"""Become another program that dies with its parent: a script between a launcher and its child.

It does in a process of its own what `preexec_fn` would do after a fork of the launcher, where
running Python is unsafe; and unlike `Popen(user=…)` it can be started from a folder that only root
may enter before it gives up root's rights.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def wrap(
    command: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    account: tuple[int, int] | None = None,
) -> list[str]:
    """`command`, to be started by this very process and thread on a leash.

    On Linux it gets `death_signal` when the thread that started it ends; the launcher starts
    everything from its main thread for that reason. `account` is the uid and gid to run under.
    """
    uid, gid = account or ("-", "-")
    own = [sys.executable, "-I", "-S", __file__]
    return [*own, str(os.getpid()), str(int(death_signal)), str(uid), str(gid), *command]


def main(parent: str, death_signal: str, uid: str, gid: str, *command: str) -> None:
    # A shell's `&` leaves SIGINT ignored, and Python ignores SIGPIPE; both would be inherited.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        # Only now: a change of user clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("The launcher ended before its child had begun.")
    try:
        os.execv(command[0], command)  # noqa: S606 - No shell is wanted.
    except OSError as error:
        sys.exit(f"Cannot run {command[0]}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
