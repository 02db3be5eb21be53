"""P49: the same tape gives the same run in any process. A twin is a process whose strings hash otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any

from .choosing import Chooser, Recorder, Tape, TapeChooser
from .properties.base import PropertyError
from .targets import EngineOptions, EngineTarget
from .watching import Watcher

if TYPE_CHECKING:
    from .sides import Side
    from .simulation import Simulation
    from .wires import Frame

__all__ = ["Twin", "TwinTarget"]

#: So many runs are the same in both processes before the other one is changed: as long as it takes to begin.
TRUSTED = 25


class Digest(Watcher):
    """All that can be seen of a run: steps, frames, events and states, as a hash."""

    def begin(self) -> None:
        self._hash = sha256()

    def on_framed(self, side: Side, frame: Frame) -> None:
        self._hash.update(repr((side.name, frame)).encode())

    def on_rest(self) -> None:
        told = [(app.who, app.index, app.events) for app in self.sim.apps()]
        states = [side.engine.fingerprint() for side in (self.sim.client, self.sim.server)]
        self._hash.update(repr((self.sim.trace, told, states)).encode())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class Twin:
    """Runs tapes in a process of its own, which begins with the first of them and ends with `close`; after that with
    another one, whose strings hash otherwise than those of all before it."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._hash_seeds = (str(seed) for seed in count(1))

    def digest(self, tape: Tape) -> str:
        """Of the run that the tape leads to there; or what went wrong. Raises RuntimeError when the process ends."""
        process = self._process = self._process or self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(tape) + "\n")
        process.stdin.flush()
        if answer := process.stdout.readline().strip():
            return answer
        raise RuntimeError(f"the twin has ended with {process.wait()}")

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _begin(self) -> subprocess.Popen[str]:
        seed = next(seed for seed in self._hash_seeds if seed != os.environ.get("PYTHONHASHSEED"))
        code = f"from {__name__} import serve; serve()"
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", code, json.dumps(self._options.as_dict())],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


class TwinTarget(EngineTarget):
    """Runs of the engine that are had again by a twin, with the same choices. Close ``twin`` when all is done.

    A set of two strings has the same order in half of all processes: so the twin is another process after every
    `TRUSTED` runs, until one differs. That one is kept, since what shows there need not show elsewhere.
    """

    def __init__(self, options: EngineOptions | None = None) -> None:
        self._digest = Digest()
        super().__init__(options, lambda: (self._digest,))
        self.twin = Twin(self.options)
        self._agreed = 0
        self._differed = False

    def execute(self, chooser: Chooser) -> Simulation:
        recorder = Recorder(chooser)
        simulation = super().execute(recorder)
        if (there := self.twin.digest(recorder.tape)) != self._digest.hexdigest():
            self._differed = True
            raise PropertyError("P49", f"the same choices give another run in another process: {there}")
        self._agreed += 1
        if self._agreed % TRUSTED == 0 and not self._differed:
            self.twin.close()
        return simulation

    def alone(self, tape: Tape) -> str:
        """The digest of a run, or what went wrong, without a twin."""
        try:
            super().execute(TapeChooser(tape))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other process has not seen it
            return " ".join(repr(error).split())
        return self._digest.hexdigest()


def serve() -> None:
    """What the twin does: a tape a line, a digest a line."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    target = TwinTarget(EngineOptions(**given))
    for line in sys.stdin:
        sys.stdout.write(target.alone(tuple(json.loads(line))) + "\n")
        sys.stdout.flush()
