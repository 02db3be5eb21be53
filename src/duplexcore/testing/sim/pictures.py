"""A recorded run as text and as a Mermaid sequence diagram: time downwards, both applications and engines, the wire."""

from __future__ import annotations

from collections.abc import Iterable

from .recording import Entry, Kind

__all__ = ["mermaid", "text"]

WIDTH = 46
#: In the middle of a text picture: which way a frame goes.
ARROWS = {"client": "─▶", "server": "◀─"}
PARTICIPANTS = (("CA", "client app"), ("C", "client engine"), ("S", "server engine"), ("SA", "server app"))


def text(entries: Iterable[Entry]) -> str:
    """Two columns, the client's and the server's; a frame stands where it sets out and again where it arrives."""
    lines = [f"{'step':>4}  {'client':<{WIDTH}}  server"]
    for entry in entries:
        told = _told(entry)
        left, right = (told, "") if entry.side == "client" else ("", told)
        lines.append(f"{entry.step:>4}  {left[:WIDTH]:<{WIDTH}}  {right}".rstrip())
    return "\n".join(lines) + "\n"


def mermaid(entries: Iterable[Entry], *, title: str = "") -> str:
    """A sequence diagram; a frame is an arrow at the moment at which it arrives, one that never does has a cross."""
    kept = [entry for entry in entries if entry.kind is not Kind.STEP]
    arrived = {entry.number for entry in kept if entry.kind is Kind.ARRIVED}
    lines = [f"---\ntitle: {title}\n---"] if title else []
    lines.append("sequenceDiagram")
    lines += [f"  participant {short} as {name}" for short, name in PARTICIPANTS]
    for entry in kept:
        engine, app, other = ("C", "CA", "S") if entry.side == "client" else ("S", "SA", "C")
        call = "" if entry.call is None else f"{entry.call}: "
        what = _escaped(f"{call}{entry.text}")
        match entry.kind:
            case Kind.COMMAND:
                lines.append(f"  {app}->>{engine}: {what}")
            case Kind.EVENT:
                lines.append(f"  {engine}-->>{app}: {what}")
            case Kind.FRAMED if entry.number not in arrived:
                lines.append(f"  {engine}-x{other}: {what}")
            case Kind.ARRIVED:
                lines.append(f"  {other}->>{engine}: {what}")
            case Kind.ENDED | Kind.TIMEOUT | Kind.LOST:
                lines.append(f"  Note over {engine}: {what}")
            case _:
                pass
    return "\n".join(lines) + "\n"


def _told(entry: Entry) -> str:
    call = "" if entry.call is None else f"[{entry.call}] "
    match entry.kind:
        case Kind.COMMAND:
            return f"{call}app: {entry.text}"
        case Kind.EVENT:
            return f"{call}app hears: {entry.text}"
        case Kind.FRAMED:
            return f"{call}{ARROWS[entry.side]} {entry.text}"
        case Kind.ARRIVED:
            return f"{call}   {entry.text} arrives"
        case Kind.ENDED:
            return f"{call}** ends: {entry.text}"
        case Kind.TIMEOUT | Kind.LOST | Kind.STEP:
            return f"{call}-- {entry.text}"


def _escaped(what: str) -> str:
    return what.replace("#", "#35;").replace(";", "#59;").replace("\n", " ")
