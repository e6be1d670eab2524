"""Which cores the conversions of this worker use, so that one may take those that others leave.

Who waits for a short recording gets it sooner if two cores encode it; but not at the cost of
others, for two encoders together do a quarter more work than one. So a job takes a core for itself,
and a second one only while nobody else has it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import mkstemp


class Cores:
    """Made before the worker forks its processes, used in each of them by one thread.

    A byte of a file stands for each core, a lock on it for its use: a process that is killed gives
    its locks back, which no semaphore would. A job that finds all cores taken works all the same.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._file, path = mkstemp()  # Never closed: that would give all locks back.
        Path(path).unlink()
        self._mine: set[int] = set()

    @contextmanager
    def taken(self, most: int) -> Iterator[int]:
        """Take so many cores, or as many as are free, for the block. How many they are."""
        cores = list(islice(filter(self._take, range(self._count)), most))
        try:
            yield len(cores)
        finally:
            for core in cores:
                self._give_back(core)

    def _take(self, core: int) -> bool:
        # A lock never keeps out the process that has it.
        if core in self._mine:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, core)
        except OSError:
            return False
        self._mine.add(core)
        return True

    def _give_back(self, core: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, core)
        self._mine.remove(core)
