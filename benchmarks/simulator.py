"""How fast the simulator is: simulated calls a second on one core, all cheap properties and the oracle on.

    python -m benchmarks.simulator [--runs N] [--rounds N]

By what carries the calls: with choices by the seeded PRNG, with choices by Hypothesis (bytes), and with nobody
watching. The share of the engine is measured in runs of their own, in which each of its inputs and outputs is timed.
Seconds are those of the CPU, the best of the rounds counts, and the seeds are the same for all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from duplexcore import ClientCall, ClientConnection, ServerCall, ServerConnection
from duplexcore.testing.sim.choosing import BytesChooser, Chooser
from duplexcore.testing.sim.configurations import CARRIERS
from duplexcore.testing.sim.joined import ClientEnd, ServerEnd
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.targets import EngineTarget
from duplexcore.testing.sim.watching import Watcher

#: What a simulation asks of an engine.
ENGINE: tuple[tuple[type, Sequence[str]], ...] = (
    (ClientConnection, ("start_call", "receive_data", "data_to_send", "handle_timeout", "receive_eof")),
    (ServerConnection, ("receive_data", "data_to_send", "handle_timeout", "receive_eof")),
    (ClientEnd, ("start_call", "receive_data", "data_to_send", "handle_timeout")),
    (ServerEnd, ("receive_data", "data_to_send", "handle_timeout")),
    (ClientCall, ("send_message", "next_event", "half_close", "cancel")),
    (ServerCall, ("send_message", "next_event", "send_initial_metadata", "finish", "abort")),
)


class Over(EngineTarget):
    """Runs over one carrier."""

    def __init__(self, carrier: str, *, watched: bool = True) -> None:
        super().__init__()
        self.carriers = (carrier,)  # type: ignore[misc]
        self._watched = watched

    def watchers(self) -> list[Watcher]:
        return super().watchers() if self._watched else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=400, help="simulations a round")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(
        f"{'carrier':<14} {'PRNG, calls/s':>14} {'Hypothesis':>11} {'unwatched':>10}  {'engine':>6} {'properties':>10}"
    )
    for carrier in CARRIERS:
        watched, bare = Over(carrier), Over(carrier, watched=False)
        by_prng, by_hypothesis, unwatched, inside = [], [], [], []
        for _ in range(asked.rounds):
            by_prng.append(rate(watched, asked.runs))
            by_hypothesis.append(rate_by_hypothesis(watched, asked.runs))
            unwatched.append(rate(bare, asked.runs))
            inside.append(engine_share(bare, asked.runs))
        watching = 1 - max(by_prng) / max(unwatched)
        engine = sorted(inside)[len(inside) // 2] * (1 - watching)
        print(
            f"{carrier:<14} {max(by_prng):>14,.0f} {max(by_hypothesis):>11,.0f} {max(unwatched):>10,.0f}  "
            f"{engine:>6.0%} {watching:>10.0%}",
            flush=True,
        )


def rate(target: EngineTarget, runs: int) -> float:
    """Calls a second with choices by seed."""
    calls, begun = 0, process_time()
    for seed in range(runs):
        calls += len(target(PrngChooser(seed)).clients)
    return calls / (process_time() - begun)


def rate_by_hypothesis(target: EngineTarget, runs: int) -> float:
    """Calls a second with choices by Hypothesis: each example is one string of bytes."""
    calls = 0

    @settings(
        max_examples=runs,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=40, max_size=400))
    def examples(data: bytes) -> None:
        nonlocal calls
        calls += len(target(BytesChooser(data)).clients)

    begun = process_time()
    examples()
    return calls / (process_time() - begun)


def engine_share(target: Callable[[Chooser], Any], runs: int) -> float:
    """How much of the time passes inside the engine."""
    with timed() as clock:
        begun = perf_counter()
        for seed in range(runs):
            target(PrngChooser(seed))
        return clock[0] / (perf_counter() - begun)


@contextmanager
def timed() -> Iterator[list[float]]:
    """Adds up the seconds inside the engine, in the first of the list."""
    total, inside = [0.0], [0]

    def around(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if inside[0]:
                return method(*given, **named)
            inside[0] = 1
            begun = perf_counter()
            try:
                return method(*given, **named)
            finally:
                total[0] += perf_counter() - begun
                inside[0] = 0

        return call

    try:
        for owner, names in ENGINE:
            for name in names:
                mock.patch.object(owner, name, around(getattr(owner, name))).start()
        yield total
    finally:
        mock.patch.stopall()


if __name__ == "__main__":
    main()
