"""Hunts for faults in the `duplexcore` that is imported here, and prints what it found as JSON (`patches.hunted`)."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import duplexcore
from duplexcore.testing.sim.hunting import hunt
from duplexcore.testing.sim.shrinking import fails, shrink
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget

__all__: list[str] = []


class OutOfTimeError(Exception):
    """The hunt has had its time."""


def main() -> None:
    numbers: dict[str, Any] = json.loads(sys.argv[1])
    calm = EngineOptions(endings=False, leaves=False, faults=False)
    target, done = EngineTarget(calm if numbers["calm"] else EngineOptions()), 0
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
    json.dump(result | {"package": duplexcore.__file__}, sys.stdout)


def steps(target: EngineTarget, tape: tuple[int, ...]) -> int:
    """How many steps a failing run has."""
    assert fails(target, tape)
    assert target.simulation is not None
    return len(target.simulation.trace)


if __name__ == "__main__":
    main()
