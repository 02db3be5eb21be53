"""Is the engine in the working directory faulty? Called by the mutation tool, once for each mutant.

python scripts/judge_mutant.py [--quick] TESTS ...

First the simulator with its properties, then the tests, the slow ones last; with --quick without those. Exit code 1,
and "killed by properties" or "killed by tests", when something is noticed; 0: nothing is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["judge"]

#: Exhaustive tests: they notice much that others notice sooner, and take most of the time.
SLOW = "every_byte or every_order or walk or duplex_table or splits or flood or memory"

SIMULATE = """
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget
for runs, options in ((400, EngineOptions()), (10, EngineOptions(costly=True))):
    target = EngineTarget(options)
    for seed in range(runs):
        target(PrngChooser(seed))
"""


def judge(root: Path, tests: Sequence[str], *, quick: bool = False) -> str | None:
    """What kills the mutant in ``root``; None: nothing. ``tests``: the folders to run, in that order."""
    paths = os.pathsep.join(str(root / one) for one in ("src", "transports"))
    env = os.environ | {"PYTHONPATH": paths, "HYPOTHESIS_PROFILE": "quick"}
    if _fails([sys.executable, "-c", SIMULATE], root, env):
        return "properties"
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    parts = (f"not ({SLOW})",) if quick else (f"not ({SLOW})", SLOW)
    return "tests" if any(_fails([*pytest, "-k", part], root, env) for part in parts) else None


def _fails(command: Sequence[str], root: Path, env: dict[str, str]) -> bool:
    return bool(subprocess.run(command, cwd=root, env=env, capture_output=True, check=False).returncode)


if __name__ == "__main__":
    folders = [one for one in sys.argv[1:] if one != "--quick"]
    killer = judge(Path.cwd(), folders, quick="--quick" in sys.argv)
    if killer is not None:
        print(f"killed by {killer}")
    sys.exit(killer is not None)
