"""Explores the pinned worlds, and compares their counts with those of tests/sim/golden/explored.json.

python scripts/explored.py         print what has changed; exit 1 if something has
python scripts/explored.py --pin   write it down, too: look at it first, a change is a change of what can happen
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from duplexcore.testing.sim.explorer import explore
from duplexcore.testing.sim.explorer_worlds import PINNED

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "sim" / "golden" / "explored.json"


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What has changed, one line each."""
    old, new = ({**{key: one[key] for key in one if key != "ends"}, **one.get("ends", {})} for one in (old, new))
    names = [*new, *(name for name in old if name not in new)]
    return [f"  {name}: {old.get(name, 0)} -> {new.get(name, 0)}" for name in names if old.get(name) != new.get(name)]


def main(argv: list[str]) -> int:
    """The command."""
    old = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    changed = set(old) != set(PINNED)
    for name, world in PINNED.items():
        begun = time.process_time()
        found[name] = explore(world.bounds, reduced=world.reduced).found.as_dict()
        lines = differences(old.get(name, {}), found[name])
        changed = changed or bool(lines)
        seconds = time.process_time() - begun
        verdict = ":" if lines else ", as before"
        print(f"{name}: {found[name]['states']} states in {seconds:.0f} s{verdict}", *lines, sep="\n")
    if "--pin" in argv:
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
