"""Run a program that reads strangers' bytes so that it can do little else.

``python -I -S confine.py <parent's pid> <program> <arguments>`` becomes that program. It is a
process of its own because nothing but a fork may run between `fork` and `exec` in a program with
threads, such as a worker.
"""

import ctypes
import os
import resource
import signal
import sys

CPU_SECONDS = 120
ADDRESS_SPACE_BYTES = 2 << 30

_PR_SET_PDEATHSIG = 1


def confine(parent_pid: int) -> None:
    """Limit this process, and let it end with its parent, even by a kill -9 (Linux only)."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # macOS refuses to limit the address space.
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        # It died before that was asked for.
        sys.exit("the parent is gone")


if __name__ == "__main__":
    confine(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # The point of it.
