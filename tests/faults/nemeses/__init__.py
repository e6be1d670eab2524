"""Everything that a campaign does to the product, by the names that its report shows."""

from collections.abc import Mapping, Sequence

from tests.faults.nemeses import (
    broker,
    clients,
    crashes,
    database,
    encoder,
    network,
    processes,
    source,
    volumes,
)
from tests.faults.nemeses.nemesis import Nemesis

__all__ = ["KINDS", "NEMESES", "QUICK", "Nemesis"]

KINDS: Mapping[str, Sequence[Nemesis]] = {
    "processes killed or frozen": processes.NEMESES,
    "the encoder": encoder.NEMESES,
    "the broker": broker.NEMESES,
    "PostgreSQL": database.NEMESES,
    "the network": network.NEMESES,
    "full disks": volumes.NEMESES,
    "question sources": source.NEMESES,
    "clients": clients.NEMESES,
    "crash points": crashes.NEMESES,
}
NEMESES: Mapping[str, Nemesis] = {
    nemesis.name: nemesis for kind in KINDS.values() for nemesis in kind
}

QUICK = (
    "kill -9 of a pool child",
    "kill -9 of the API",
    "encoder aborts its process",
    "broker killed and restarted empty",
    "hints lost after they were popped",
    "PostgreSQL restarted before chunk writing",
    "PostgreSQL restarted after a COMMIT",
    "broker connections reset",
)
"""One of each kind, none of which lasts."""
