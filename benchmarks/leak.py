"""Whether memory stays what it is: a client and a server in processes of their own, many messages on one stream, then
many calls, and the resident memory of both sides after the first hundredth of them (2,000 at least) and at the end.

Beside it the blocks that Python's allocator has given out: memory that grows without them is kept for what was there
for a while, in steps of its arenas (1 MiB), and no leak of ours."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

from .contract import Job, Service
from .loops import MESSAGES
from .processes import Couple
from .table import Peer

__all__ = ["ALLOWED", "FULL", "SHORT", "Kept", "leak"]

#: Calls; there are ten times as many messages.
FULL, SHORT = 1_000_000, 20_000
#: How much either side may grow, as a part of what it had.
ALLOWED = 0.02


@dataclass(frozen=True, slots=True)
class Kept:
    """What came: memory at the end in that of the beginning, and the same of allocated blocks."""

    calls: int
    messages: int
    server: float
    client: float
    server_blocks: float = nan
    client_blocks: float = nan

    @property
    def leaks(self) -> bool:
        """Whether either side has grown by more than is allowed."""
        return max(self.server, self.client) > 1 + ALLOWED


def leak(peer: Peer, calls: int) -> Kept:
    """Raises `PeerError`."""
    job = Job(kind="leak", port=0, width=64, operations=calls)
    with Couple(peer, peer, Service(calls=64)) as couple:
        measured = couple.measure(job, patience=max(600.0, calls / 100))
    return Kept(
        calls,
        calls * MESSAGES,
        *(measured.growth(side, figure) for figure in ("memory", "blocks") for side in ("server", "client")),
    )
