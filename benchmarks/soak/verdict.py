"""What must hold at the end of a soak."""

from __future__ import annotations

from dataclasses import dataclass

from .load import Count
from .service import Held

__all__ = ["Check", "judged"]

#: How much more may be held at the end than after the first part of the run: of live blocks, and of resident memory,
#: where what the allocator keeps for itself is in, too.
BLOCKS, RESIDENT = 0.02, 0.10
#: And what never counts: blocks (a reader of /proc, a cache of the standard library), KiB.
FEW_BLOCKS, FEW_KIB = 2_000, 4_096


@dataclass(frozen=True)
class Check:
    """One line of the verdict."""

    what: str
    due: str
    came: str
    holds: bool


def judged(count: Count, first: tuple[Held, Held], last: tuple[Held, Held]) -> list[Check]:
    """``first`` and ``last``: what client and server held when the load paused, after its first part and at its end."""
    checks = [
        Check("calls with a wrong message, status or metadata", "0", f"{count.wrong.total():,}", not count.wrong),
        Check("calls", "some of each scenario", f"{count.calls:,}", count.right.total() > 0),
    ]
    for side, before, after in zip(("client", "server"), first, last, strict=True):
        own = 1 if side == "server" else 0  # the handler that reports
        checks += [
            Check(f"{side}: handlers that run", str(own), str(after.handlers), after.handlers == own),
            _not_more(f"{side}: tasks", before.tasks, after.tasks, 0, 0),
            _not_more(f"{side}: open files", before.files, after.files, 0, 0),
            _not_more(f"{side}: live blocks", before.blocks, after.blocks, BLOCKS, FEW_BLOCKS),
            _not_more(f"{side}: resident KiB", before.resident, after.resident, RESIDENT, FEW_KIB),
        ]
    return checks


def _not_more(what: str, before: int, after: int, share: float, few: int) -> Check:
    most = int(before * (1 + share)) + few
    return Check(what, f"at most {most:,}", f"{after:,}", after <= most)
