"""A recorded run as one HTML page that stands alone: styles, script and data are in it, it asks no network."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

from .cases import Case, Run
from .pictures import mermaid, text
from .recording import Kind, StepTaken

__all__ = ["page"]


def page(case: Case, run: Run) -> str:
    """The whole page: ``run`` is the replay of ``case``.

    ``#step-7`` at the end of its address opens it at that step.
    """
    entries = run.recording.entries
    title = f"{case.number} does not hold" if run.error else f"{case.number} holds again"
    fault = case.message if run.error else ""
    data = {
        "facts": _facts(case),
        "message": case.message,
        "failed": run.error is not None,
        "race": None if case.race is None else {"steps": [case.race.first, case.race.second], "told": case.race.told},
        "steps": [_step(step) for step in run.recording.steps],
        "entries": [
            {
                "step": entry.step,
                "kind": entry.kind.value,
                "side": entry.side,
                "call": entry.call,
                "text": entry.text,
                "frame": entry.number,
            }
            for entry in entries
        ],
        "bytes": {entry.number: entry.wire.hex() for entry in entries if entry.kind is Kind.FRAMED},
        "events": [
            {"who": f"{one.side}, call {one.call}", "expected": one.expected, "observed": one.observed}
            for one in run.events
        ],
    }
    values = {
        "title": html.escape(title),
        "text": html.escape(text(entries, race=case.race)),
        "mermaid": html.escape(mermaid(entries, race=case.race, fault=fault, handshake=False)),
        # In a script element only "</" and "<!--" could end the data early.
        "run": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    filled = (files("duplexcore.testing.sim") / "page.html").read_text(encoding="utf-8")
    for name, value in values.items():
        filled = filled.replace(f"{{{{{name}}}}}", value)
    return filled


def _facts(case: Case) -> list[str]:
    facts = [f"target {case.target}", f"tape of {len(case.tape)} choices"]
    if case.seed is not None:
        facts.append(f"seed {case.seed}, policy {case.policy}")
    return [*facts, *(f"{name} {version}" for name, version in case.versions.items())]


def _step(step: StepTaken) -> dict[str, Any]:
    return {
        "number": step.number,
        "actor": step.actor,
        "label": step.label,
        "clocks": step.clocks,
        "windows": [list(window) for window in step.windows],
    }
