"""Judges the coverage of the engine as its own tests have just measured it: lines and branches, each on its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "coverage.json"
LEAST = 95.0


def percent(covered: int, total: int) -> float:
    """Of nothing, everything is covered."""
    return 100.0 * covered / total if total else 100.0


def coverage(*arguments: str) -> int:
    """Run coverage.py in the project's folder."""
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


def main() -> int:
    """The command."""
    if any(ROOT.glob(".coverage.*")) and coverage("combine", "--quiet"):
        return 1
    if coverage("report") or coverage("json", "--quiet", "-o", str(REPORT)):
        return 1
    totals = json.loads(REPORT.read_text(encoding="utf-8"))["totals"]
    if not totals.get("covered_lines"):
        print("no line of the engine was covered: run `make coverage`, in an environment that has this tree installed")
        return 1
    lines = percent(totals["covered_lines"], totals["num_statements"])
    branches = percent(totals["covered_branches"], totals["num_branches"])
    print(f"engine: {lines:.1f} % of lines, {branches:.1f} % of branches; at least {LEAST:.0f} % of each")
    return 0 if min(lines, branches) >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
