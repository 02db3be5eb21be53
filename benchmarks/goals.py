"""What the figures must reach, and whether they do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan

from .results import Results
from .table import PEERS

__all__ = ["HEADINGS", "Judged", "judge", "lines"]

NATIVE, H2, TRIO = "duplexcore-asyncio-native", "duplexcore-asyncio-h2", "duplexcore-trio-native"
ALL_OTHERS = ("grpc.aio", "grpcio", "grpclib")
HEADINGS = ["goal", "at least", "aim", "measured", "which is", "by CPU", "which is"]
ENGINE, TRANSPORT = "duplexcore, the engine", "duplexcore_anyio, the transport"


@dataclass(frozen=True, slots=True)
class Judged:
    """One line. ``least`` and ``aim`` are bounds from below, or from above with ``most``; values are nan where nothing
    was measured."""

    what: str
    least: float
    aim: float
    value: float
    by_cpu: float = nan
    most: bool = False
    unit: str = "×"

    @property
    def verdict(self) -> str:
        """In a word or two."""
        return self._verdict(self.value)

    @property
    def verdict_by_cpu(self) -> str:
        """The same of the CPU time; empty where the goal is none of time."""
        return "" if isnan(self.by_cpu) else self._verdict(self.by_cpu)

    def _verdict(self, value: float) -> str:
        if isnan(value):
            return "not measured"
        if self._reaches(value, self.aim):
            return "met, and the aim"
        return "met" if self._reaches(value, self.least) else "not met"

    def _reaches(self, value: float, bound: float) -> bool:
        return value <= bound if self.most else value >= bound


#: Workload, our peer, against the best of these, at least, aim.
_FASTER: tuple[tuple[str, str, tuple[str, ...], float, float], ...] = (
    ("firehose", NATIVE, ("grpc.aio",), 30, 50),
    ("firehose", NATIVE, ("grpclib",), 12, 12),
    ("ping-64", NATIVE, ("grpc.aio",), 6, 10),
    ("ping-64", NATIVE, ("grpclib",), 4, 4),
    ("unary-64", NATIVE, ("grpc.aio",), 6, 10),
    ("unary-64", NATIVE, ("grpclib",), 5, 5),
    ("unary-64", H2, ("grpc.aio",), 1.5, 2),
    ("ping-1", NATIVE, ALL_OTHERS, 1.2, 1.2),
    ("unary-1", NATIVE, ALL_OTHERS, 1.2, 1.2),
    ("bulk", NATIVE, ("grpc.aio",), 1.3, 1.8),
)
#: What a message may take beyond 1.3 times a bare echo: microseconds.
_ALLOWANCE = 15.0
#: Workloads whose rate compares trio with asyncio.
_RATED = ("unary-1", "unary-64", "ping-1", "ping-64", "firehose", "bulk", "connect", "connect-tls", "connections-1000")


def judge(results: Results) -> list[Judged]:
    """Every goal."""
    return [
        *(_faster(results, *row) for row in _FASTER),
        *(_near_echo(results, workload) for workload in ("ping-1", "unary-1")),
        *_idle(results),
        _opening(results),
        *(_trio(results, workload) for workload in _RATED),
        *(_tail(results, workload) for workload in ("unary-64", "ping-64")),
        *_imports(results),
    ]


def lines(judged: Iterable[Judged]) -> list[list[str]]:
    """As a table below `HEADINGS`."""
    return [
        [
            each.what,
            f"{'at most ' if each.most else ''}{_shown(each.least, each.unit)}",
            _shown(each.aim, each.unit) if each.aim != each.least else "",
            _shown(each.value, each.unit),
            each.verdict,
            _shown(each.by_cpu, each.unit),
            each.verdict_by_cpu,
        ]
        for each in judged
    ]


def _shown(value: float, unit: str) -> str:
    if isnan(value):
        return ""
    return f"{value:.3g} {unit}"


def _faster(results: Results, workload: str, ours: str, others: Sequence[str], least: float, aim: float) -> Judged:
    best = others[0] if len(others) == 1 else "the best of the others"
    return Judged(
        f"{workload}, {_carrier(ours)}, beside {best}",
        least,
        aim,
        min((_ratio(results, workload, ours, other, "rate") for other in others), key=_missing_first),
        min((1 / _ratio(results, workload, ours, other, "cpu") for other in others), key=_missing_first),
    )


def _near_echo(results: Results, workload: str) -> Judged:
    """Latencies: of ours, and of the echo."""
    ours, echo = _figure(results, NATIVE, workload, "p50"), _figure(results, "tcp-echo", "ping-1", "p50")
    bound = 1.3 * echo + _ALLOWANCE
    return Judged(f"{workload}, native, p50 beside 1.3 × a bare TCP echo + 15 µs", 1.0, 1.0, ours / bound, most=True)


def _idle(results: Results) -> list[Judged]:
    return [
        Judged(
            f"{workload}, native, {side}",
            6.0,
            4.0,
            _figure(results, NATIVE, workload, f"{side}_memory"),
            most=True,
            unit="KiB",
        )
        for workload in ("idle-1000", "idle-10000")
        for side in ("server", "client")
    ]


def _opening(results: Results) -> Judged:
    loaded, alone = (_figure(results, NATIVE, "opening-10000", figure) for figure in ("p50_loaded", "p50"))
    by_cpu = _figure(results, NATIVE, "opening-10000", "loaded")
    return Judged("a call with 10,000 open, native, beside the first", 1.2, 1.2, loaded / alone, by_cpu, most=True)


def _trio(results: Results, workload: str) -> Judged:
    return Judged(
        f"{workload}, native, trio slower than asyncio",
        2.5,
        1.5,
        1 / _ratio(results, workload, TRIO, NATIVE, "rate"),
        _ratio(results, workload, TRIO, NATIVE, "cpu"),
        most=True,
    )


def _tail(results: Results, workload: str) -> Judged:
    tail = _figure(results, NATIVE, workload, "tail")
    return Judged(f"{workload}, native, p99 beside p50", 3.0, 3.0, tail, most=True)


def _imports(results: Results) -> list[Judged]:
    return [
        Judged(
            f"import of {name}", most, most, results.footprint.get(name, {}).get("import", nan), most=True, unit="ms"
        )
        for name, most in ((ENGINE, 40.0), (TRANSPORT, 80.0))
    ]


def _carrier(peer: str) -> str:
    return PEERS[peer].options["http2"]


def _ratio(results: Results, workload: str, ours: str, other: str, figure: str) -> float:
    return _figure(results, ours, workload, figure) / _figure(results, other, workload, figure)


def _figure(results: Results, peer: str, workload: str, figure: str) -> float:
    """The median; nan where there is none."""
    value = results.middle(peer, workload, figure)
    return nan if value is None else value


def _missing_first(value: float) -> float:
    """One that is missing makes the whole missing."""
    return -inf if isnan(value) else value
