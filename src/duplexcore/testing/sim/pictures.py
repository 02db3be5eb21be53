"""A recorded run as text and as a Mermaid sequence diagram: time downwards, both applications and engines, the wire."""

from __future__ import annotations

from collections.abc import Iterable

from .recording import Entry, Kind
from .swapping import Race

__all__ = ["mermaid", "text"]

WIDTH = 46
#: In the middle of a text picture: which way a frame goes.
ARROWS = {"client": "─▶", "server": "◀─"}
PARTICIPANTS = (("CA", "client app"), ("C", "client engine"), ("S", "server engine"), ("SA", "server app"))
#: What would mean something to Mermaid.
ENTITIES = str.maketrans({"#": "#35;", ";": "#59;", "\n": " "})
#: Behind the number of a step that is one of the two of a race.
MARK = "»"


def text(entries: Iterable[Entry], *, race: Race | None = None, handshake: bool = True) -> str:
    """Two columns, the client's and the server's; a frame stands where it sets out and again where it arrives.

    The steps of ``race`` are marked. Without ``handshake`` it begins with the first step.
    """
    marked = (race.first, race.second) if race else ()
    lines = [f"{'step':>4}  {'client':<{WIDTH}}  server"]
    unseen = _unseen(entries := list(entries), race)
    for entry in entries:
        if not (entry.step or handshake):
            continue
        while unseen and unseen[0][0] < entry.step:
            step, label = unseen.pop(0)
            lines.append(f"{step:>4}{MARK} {label}")
        told = _told(entry)
        left, right = (told, "") if entry.side == "client" else ("", told)
        mark = MARK if entry.step in marked else " "
        lines.append(f"{entry.step:>4}{mark} {left[:WIDTH]:<{WIDTH}}  {right}".rstrip())
    lines += [f"{step:>4}{MARK} {label}" for step, label in unseen]
    return "\n".join(lines) + "\n"


def mermaid(
    entries: Iterable[Entry], *, title: str = "", race: Race | None = None, fault: str = "", handshake: bool = True
) -> str:
    """A sequence diagram; a frame is an arrow at the moment at which it arrives, one that never does has a cross.

    The steps of ``race`` stand on a coloured ground, ``fault`` at the end.
    """
    kept = [entry for entry in entries if entry.step or handshake]
    arrived = {entry.number for entry in kept if entry.kind is Kind.ARRIVED}
    marked = (race.first, race.second) if race else ()
    lines = [f"---\ntitle: {_escaped(title)}\n---"] if title else []
    lines.append("sequenceDiagram")
    lines += [f"  participant {short} as {name}" for short, name in PARTICIPANTS]
    inside = 0
    unseen = _unseen(kept, race)
    for entry in kept:
        while unseen and unseen[0][0] < entry.step:
            lines += ["  end"] * bool(inside) + _alone(*unseen.pop(0))
            inside = 0
        if inside and entry.step != inside:
            lines.append("  end")
            inside = 0
        if entry.step in marked and not inside:
            inside = entry.step
            lines += ["  rect rgb(255, 236, 179)", f"  Note over CA,SA: race: step {inside}"]
        lines += _arrow(entry, arrived)
    if inside:
        lines.append("  end")
    for one in unseen:
        lines += _alone(*one)
    if fault:
        lines.append(f"  Note over CA,SA: {_escaped(fault)}")
    return "\n".join(lines) + "\n"


def _unseen(entries: list[Entry], race: Race | None) -> list[tuple[int, str]]:
    """The steps of a race of which there is nothing else to show: number and label."""
    seen = {entry.step for entry in entries}
    both = ((race.first, race.labels[0]), (race.second, race.labels[1])) if race else ()
    return [one for one in both if one[0] not in seen]


def _alone(step: int, label: str) -> list[str]:
    return ["  rect rgb(255, 236, 179)", f"  Note over CA,SA: race: step {step}: {_escaped(label)}", "  end"]


def _arrow(entry: Entry, arrived: set[int | None]) -> list[str]:
    engine, app, other = ("C", "CA", "S") if entry.side == "client" else ("S", "SA", "C")
    what = _escaped(f"{'' if entry.call is None else f'{entry.call}: '}{entry.text}")
    match entry.kind:
        case Kind.COMMAND:
            return [f"  {app}->>{engine}: {what}"]
        case Kind.EVENT:
            return [f"  {engine}-->>{app}: {what}"]
        case Kind.FRAMED:
            return [] if entry.number in arrived else [f"  {engine}-x{other}: {what}"]
        case Kind.ARRIVED:
            return [f"  {other}->>{engine}: {what}"]
        case Kind.ENDED | Kind.TIMEOUT | Kind.LOST:
            return [f"  Note over {engine}: {what}"]
        case Kind.WAITING:
            return [f"  Note over {app}: {what}"]


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
        case Kind.TIMEOUT | Kind.LOST | Kind.WAITING:
            return f"{call}-- {entry.text}"


def _escaped(what: str) -> str:
    return what.translate(ENTITIES)
