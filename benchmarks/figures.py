"""From what was measured to figures."""

from __future__ import annotations

from .processes import Measured

__all__ = ["figures_of"]


def figures_of(measured: Measured) -> dict[str, float]:
    """The figures of one repetition: a rate per second, latencies and CPU time of an operation in microseconds."""
    outcome = measured.outcome
    operations = outcome["operations"]
    server, client = (measured.cpu(side) / operations * 1e6 for side in ("server", "client"))
    return {
        "rate": operations / outcome["seconds"],
        "server": server,
        "client": client,
        "cpu": server + client,
        **{name: outcome[name] for name in ("p50", "p99") if name in outcome},
    }
