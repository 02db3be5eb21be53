"""A trace as one HTML page that stands alone: styles, script and data are in it, it asks no network."""

from __future__ import annotations

import html
import json
from importlib.resources import files

from .mermaid import mermaid
from .trace import Side, Trace

__all__ = ["html_page"]


def html_page(trace: Trace, names: dict[Side, str], *, title: str, facts: list[str], outcome: list[str]) -> str:
    """The whole page. ``facts``: how the conversation was held; ``outcome``: what was checked about it."""
    frames = {frame.number: frame for arrow in trace.arrows for frame in arrow.frames}
    data = {
        "names": {side.value: names[side] for side in Side},
        "facts": facts,
        "outcome": outcome,
        "arrows": [
            {
                "number": arrow.number,
                "time": arrow.time,
                "source": arrow.source.position,
                "target": arrow.target.position,
                "label": arrow.label,
                "kind": arrow.kind.value,
                "wire": arrow.on_the_wire,
                "frames": [frame.number for frame in arrow.frames],
            }
            for arrow in trace.arrows
        ],
        "frames": {
            number: {
                "number": number,
                "time": frame.time,
                "sender": frame.sender.value,
                "title": frame.title,
                "flags": frame.flags,
                "stream": frame.stream,
                "size": frame.size,
                "details": frame.details,
                "hex": frame.raw.hex(),
            }
            for number, frame in frames.items()
        },
    }
    # In a script element only "</" and "<!--" could end the data early.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = (files("duplexcore.cli") / "page.html").read_text(encoding="utf-8")
    values = {"title": html.escape(title), "mermaid": html.escape(mermaid(trace, names)), "trace": text}
    for name, value in values.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    return page
