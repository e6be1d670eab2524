"""Starts the whole product on one machine and keeps it running: `python3 run.py`."""


class LaunchError(Exception):
    """Quaver cannot start; the message says why and what to do."""
