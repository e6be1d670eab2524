"""Run a program that reads strangers' bytes so that it can do little else.

``python -I -S confine.py <parent's pid> <program> <arguments>`` becomes that program. It is a
process of its own because nothing but a fork may run between `fork` and `exec` in a program with
threads, such as a worker.

The program inherits no environment, for a worker's holds passwords; it has bounded time and memory,
writes no file, and ends with its parent. Where the kernel has Landlock it reads no file but
programs and libraries, makes no TCP connection, and cannot look into other processes.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path

CPU_SECONDS = 120
SECONDS = 900
"""On a clock: one that hangs needs no CPU."""
ADDRESS_SPACE_BYTES = 2 << 30

LIBRARIES = ("/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache")
"""What a program may read besides its own prefix."""

# From <linux/prctl.h> and <linux/landlock.h>. The numbers of Landlock's calls are the same on all
# architectures.
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _READ_FILE = 1, 4
_RIGHTS = (13, 14, 15, 15, 16)
"""How many rights to files each version knows; later ones know no more."""
_NETWORK, _NETWORK_SINCE = 0b11, 4
"""To bind TCP and to connect it."""
_SCOPES, _SCOPES_SINCE = 0b11, 6
"""Abstract sockets and signals."""


def confine(parent_pid: int) -> None:
    """Limit this process, and let it end with its parent, even by a kill -9 (Linux only)."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # macOS refuses to limit the address space.
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        # It died before that was asked for.
        sys.exit("the parent is gone")


def landlock_version() -> int:
    """What this kernel has: files since 1 (Linux 5.13), TCP since 4 (6.7); 0 or less: nothing."""
    if sys.platform != "linux":
        return 0
    return int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION))


def isolate(program: Path) -> None:
    """Leave this process nothing but to become `program`, as far as the kernel can see to it.

    Whoever is not root must have been confined before.
    """
    version = landlock_version()
    if version < 1:
        return
    libc = ctypes.CDLL(None)
    rights = (
        (1 << _RIGHTS[min(version, len(_RIGHTS)) - 1]) - 1,
        _NETWORK if version >= _NETWORK_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    denied = struct.pack("=3Q", *rights)
    ruleset = libc.syscall(_CREATE_RULESET, denied, ctypes.c_size_t(len(denied)), 0)
    # A program that is not the system's has its libraries below its own prefix, or a link's to it.
    prefixes = (program.parent / "..", program.resolve().parent / "..")
    for path in (program, *prefixes, *map(Path, LIBRARIES)):
        if path.exists() and not path.samefile("/"):
            allowed = struct.pack("=Qi", _EXECUTE | _READ_FILE, os.open(path, os.O_PATH))
            libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, allowed, 0)
    libc.syscall(_RESTRICT_SELF, ruleset, 0)


if __name__ == "__main__":
    confine(int(sys.argv[1]))
    isolate(Path(sys.argv[2]))
    os.execve(sys.argv[2], sys.argv[2:], {})  # noqa: S606  # The point of it.
