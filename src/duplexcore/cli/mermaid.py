"""A trace as the text of a Mermaid sequence diagram."""

from __future__ import annotations

from collections.abc import Iterator

from .trace import Arrow, Kind, Lane, Side, Trace

__all__ = ["mermaid"]

_IDS = {
    Lane.CLIENT_APP: "clientApp",
    Lane.CLIENT_ENGINE: "client",
    Lane.SERVER_ENGINE: "server",
    Lane.SERVER_APP: "serverApp",
}
#: What Mermaid would read as its own.
_ENTITIES = {"#": "#35;", ";": "#59;", ":": "#58;", "<": "#lt;", ">": "#gt;"}


def mermaid(trace: Trace, names: dict[Side, str]) -> str:
    """The whole diagram. Dashed arrows are frames of the connection, not of the call."""
    return "\n".join(_lines(trace, names)) + "\n"


def _lines(trace: Trace, names: dict[Side, str]) -> Iterator[str]:
    yield "sequenceDiagram"
    for lane in Lane:
        title = _plain(lane.value)
        if lane in (Lane.CLIENT_ENGINE, Lane.SERVER_ENGINE):
            side = Side.CLIENT if lane is Lane.CLIENT_ENGINE else Side.SERVER
            title += f"<br/>{_plain(names[side])}"
        yield f"    participant {_IDS[lane]} as {title}"
    for arrow in trace.arrows:
        yield "    " + _arrow(arrow)


def _arrow(arrow: Arrow) -> str:
    shaft = "-->>" if arrow.kind is Kind.CONNECTION else "->>"
    text = f"{_plain(arrow.label)}<br/>{arrow.time * 1000:.1f} ms"
    if arrow.frames:
        text += _plain(f" · {arrow.on_the_wire}")
    return f"{_IDS[arrow.source]}{shaft}{_IDS[arrow.target]}: {text}"


def _plain(text: str) -> str:
    return "".join(_ENTITIES.get(character, character) for character in text)
