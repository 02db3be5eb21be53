"""Hunts for faults in the `duplexcore` that is imported here, and prints what it found as JSON (`patches.hunted`)."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Any

import duplexcore
from duplexcore.testing.sim.choosing import Chooser
from duplexcore.testing.sim.configurations import carried
from duplexcore.testing.sim.hunting import hunt
from duplexcore.testing.sim.shrinking import fails, shrink
from duplexcore.testing.sim.simulation import Scenario, Simulation
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget
from duplexcore.testing.sim.twin import TwinTarget

__all__: list[str] = []


#: Whose HTTP/2 there is; how often a run is checked by what: the cheap properties, the costly ones too, a twin (P49).
HTTP2 = ("h2", "native")
CHECKS = (*("cheap",) * 5, "costly", "costly", "twin")


class EitherCore(EngineTarget):
    """HTTP/2 is h2's or our own on both sides, by choice."""

    def scenario(self, chooser: Chooser) -> Scenario:
        http2 = HTTP2[chooser.choose(len(HTTP2), "http2", HTTP2)]
        drawn = super().scenario(chooser)
        return replace(drawn, client=carried(drawn.client, http2), server=carried(drawn.server, http2))


class Checked(EngineTarget):
    """Each run is checked in a way that is drawn."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self.twin = TwinTarget(options)
        self._ways: dict[str, EngineTarget] = {
            "cheap": EitherCore(options),
            "costly": EitherCore(replace(options, costly=True)),
            "twin": self.twin,
        }

    def execute(self, chooser: Chooser) -> Simulation:
        way = self._ways[CHECKS[chooser.choose(len(CHECKS), "checks", CHECKS)]]
        try:
            return way.execute(chooser)
        finally:
            self.simulation = way.simulation


class OutOfTimeError(Exception):
    """The hunt has had its time."""


def main() -> None:
    numbers: dict[str, Any] = json.loads(sys.argv[1])
    calm = EngineOptions(endings=False, leaves=False, faults=False)
    target, done = Checked(calm if numbers["calm"] else EngineOptions()), 0
    began = time.process_time()

    def progress(runs: int) -> None:
        nonlocal done
        done = runs
        if time.process_time() - began > numbers["seconds"]:
            raise OutOfTimeError

    seeds = range(numbers["seed"], numbers["seed"] + numbers["runs"])
    result: dict[str, Any] = {"number": None, "message": "", "steps": 0, "smallest": 0}
    try:
        finding = next(hunt(target, seeds, shrinking=0, progress=progress), None)
    except OutOfTimeError:
        finding = None
    result |= {"runs": finding.runs if finding else done, "seconds": time.process_time() - began}
    if finding is not None:
        result |= {"number": finding.number, "message": finding.message, "steps": steps(target, finding.tape)}
        _, tape = shrink(target, finding.tape, budget=numbers["shrinking"])
        result["smallest"] = steps(target, tape)
    target.twin.twin.close()
    json.dump(result | {"package": duplexcore.__file__}, sys.stdout)


def steps(target: EngineTarget, tape: tuple[int, ...]) -> int:
    """How many steps a failing run has."""
    assert fails(target, tape)
    assert target.simulation is not None
    return len(target.simulation.trace)


if __name__ == "__main__":
    main()
