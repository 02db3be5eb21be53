"""From what was measured to figures."""

from __future__ import annotations

from .processes import Measured

__all__ = ["COLUMNS", "figures_of"]

#: Figure -> the heading of its column. "cpu" is of both sides together.
COLUMNS = {
    "rate": "rate",
    "p50": "p50 µs",
    "p99": "p99 µs",
    "tail": "p99 / p50",
    "server": "server CPU µs",
    "client": "client CPU µs",
    "p50_loaded": "p50 µs, loaded",
    "cpu_loaded": "CPU µs, loaded",
    "loaded": "loaded / alone, by CPU",
    "server_memory": "server KiB",
    "client_memory": "client KiB",
}
SIDES = ("server", "client")


def figures_of(width: int, measured: Measured) -> dict[str, float]:
    """The figures of one repetition with so many open at once: a rate per second; latencies and CPU time of an
    operation in microseconds; memory of one that is open in KiB."""
    figures = {name: value for name, value in measured.outcome.items() if name.startswith("p")}
    if measured.marked("begin"):
        operations = measured.outcome["operations"]
        figures |= {side: measured.cpu(side) / operations * 1e6 for side in SIDES}
        figures |= {"rate": operations / measured.outcome["seconds"], "cpu": figures["server"] + figures["client"]}
    if "p99" in figures:
        figures["tail"] = figures["p99"] / figures["p50"]
    if measured.marked("begin-loaded"):
        used = sum(measured.cpu(side, "-loaded") for side in SIDES)
        figures["cpu_loaded"] = used / measured.outcome["operations_loaded"] * 1e6
        figures["loaded"] = figures["cpu_loaded"] / figures["cpu"]
    if measured.marked("filled"):
        figures |= {f"{side}_memory": measured.memory(side) / width / 1024 for side in SIDES}
    return figures
