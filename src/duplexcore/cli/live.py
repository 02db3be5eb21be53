"""Draws a trace in the terminal, arrow by arrow as they happen."""

from __future__ import annotations

import textwrap

from rich.text import Text

from .console import Console
from .trace import Arrow, Kind, Lane, Side

__all__ = ["LiveDrawing"]

#: Columns for the time, before the first lane.
_TIME = 11
_STYLES = {
    Kind.APPLICATION: "cyan",
    Kind.OPENING: "bold yellow",
    Kind.MESSAGE: "bold green",
    Kind.END: "bold magenta",
    Kind.CONNECTION: "dim",
}
#: Of the width between the outer lanes, the part that is the wire's.
_WIRE_PART = 0.5
_MIN_WIDTH, _MAX_WIDTH = 72, 132


class LiveDrawing:
    """Lanes from left to right, time downwards. Each arrow is printed once, when it is known."""

    def __init__(self, console: Console, names: dict[Side, str]) -> None:
        self._console = console
        self._names = names
        self._unread = False  # the reader of the output is gone: the work goes on without
        # A file or a pipe has no width: what fits most documents is drawn.
        width = console.width if console.is_terminal else 100
        span = max(_MIN_WIDTH, min(width, _MAX_WIDTH)) - _TIME - 2
        wire = round(span * _WIRE_PART)
        side = (span - wire) // 2
        self._at = [_TIME, _TIME + side, _TIME + side + wire, _TIME + side + wire + side]

    def header(self) -> None:
        """The participants."""
        left, inner_left, inner_right, right = self._at
        self._line(_spread(left, "client application", right + 1, "server application"), "bold")
        names = [self._names[Side.CLIENT], self._names[Side.SERVER]]
        self._line(_spread(inner_left, names[0], inner_right + 1, names[1]), "bold")
        self._line(self._bars(), "dim")

    def draw(self, arrow: Arrow) -> None:
        """One arrow: what it means, and on the wire its frames. It never raises: engines and their drivers call it."""
        if self._unread:
            return
        try:
            self._draw(arrow)
        except OSError:
            self._unread = True

    def _draw(self, arrow: Arrow) -> None:
        left, right = sorted((self._at[arrow.source.position], self._at[arrow.target.position]))
        room = right - left - 1
        if arrow.kind is Kind.APPLICATION:
            self._row(arrow, left, room, arrow.label, time=True)
            return
        if arrow.kind is Kind.CONNECTION:
            # These frames say themselves what they are; in a narrow terminal without their sizes.
            text = arrow.on_the_wire
            self._row(arrow, left, room, text if len(text) <= room - 4 else arrow.label, time=True)
            return
        lines = textwrap.wrap(arrow.label, room - 4)
        for number, line in enumerate(lines):
            text = self._bars()
            text = text[: left + 1] + line.center(room) + text[right:]
            self._print(self._stamp(arrow) if number == 0 else "", text, _STYLES[arrow.kind], left, right)
        self._row(arrow, left, room, arrow.on_the_wire, time=False)

    def _row(self, arrow: Arrow, left: int, room: int, inside: str, *, time: bool) -> None:
        if len(inside) > room - 3:
            inside = inside[: room - 4] + "…"
        shaft = f" {inside} ".center(room - 1, "─")
        shaft = shaft + "▶" if arrow.to_the_right else "◀" + shaft
        bars = self._bars()
        text = bars[: left + 1] + shaft + bars[left + 1 + room :]
        self._print(self._stamp(arrow) if time else "", text, _STYLES[arrow.kind], left, left + 1 + room)

    def _print(self, stamp: str, text: str, style: str, left: int, right: int) -> None:
        line = Text(text, style="dim", no_wrap=True, overflow="crop")
        line.stylize(f"not dim {style}" if style != "dim" else style, left + 1, right)
        line.plain = stamp.rjust(_TIME - 2) + line.plain[_TIME - 2 :]
        self._console.print(line, crop=False, soft_wrap=True)

    def _line(self, text: str, style: str) -> None:
        self._console.print(Text(text, style=style), crop=False, soft_wrap=True)

    def _stamp(self, arrow: Arrow) -> str:
        return f"{arrow.time * 1000:.1f} ms"

    def _bars(self) -> str:
        row = [" "] * (self._at[-1] + 1)
        for lane in Lane:
            row[self._at[lane.position]] = "│"
        return "".join(row)


def _spread(left: int, first: str, right: int, second: str) -> str:
    """One text that begins at a column, another that ends at one."""
    return " " * left + first + second.rjust(max(1, right - left - len(first)))
