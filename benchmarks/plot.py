"""The rates as a picture: a panel for each workload, in it a bar for each peer, and its least and most."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .report import short
from .results import Cell, Results
from .table import WORKLOADS

__all__ = ["SHOWN", "svg"]

#: The workloads that have a panel.
SHOWN = ("unary-1", "unary-64", "ping-1", "ping-64", "firehose", "bulk")
COLUMNS = 2
WIDTH, NAMES, VALUES, BAR, GAP, HEAD, MARGIN = 480, 180, 76, 14, 6, 38, 16
OURS, OTHERS, INK, FAINT = "#3465a4", "#b0b4ba", "#202428", "#70757c"


def svg(results: Results) -> str:
    """The whole picture."""
    panels = [(name, cells) for name in SHOWN if (cells := _cells(results, name))]
    deepest = max((len(cells) for _, cells in panels), default=0)
    height = HEAD + deepest * (BAR + GAP) + MARGIN
    parts = []
    for number, (name, cells) in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        parts.append(f'<g transform="translate({column * WIDTH + MARGIN} {row * height + MARGIN})">')
        parts += _panel(name, cells)
        parts.append("</g>")
    rows = -(-len(panels) // COLUMNS)
    size = (COLUMNS * WIDTH + MARGIN, rows * height + MARGIN)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" '
        f'height="{size[1]}" font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, f'<rect width="{size[0]}" height="{size[1]}" fill="#ffffff"/>', *parts, "</svg>", ""])


def _cells(results: Results, workload: str) -> list[Cell]:
    """Of peers against themselves, the fastest first."""
    cells = [cell for cell in results.of(workload) if cell.server == cell.client and cell.middle("rate")]
    return sorted(cells, key=lambda cell: -(cell.middle("rate") or 0.0))


def _panel(name: str, cells: Sequence[Cell]) -> list[str]:
    spreads = [spread for cell in cells if (spread := cell.spread("rate"))]
    scale = (WIDTH - NAMES - VALUES - MARGIN) / max(spread.high for spread in spreads)
    unit = WORKLOADS[name].unit if name in WORKLOADS else ""
    lines = [
        f'<text y="12" font-size="13" font-weight="bold" fill="{INK}">{escape(name)}',
        f'<tspan font-weight="normal" font-size="11" fill="{FAINT}"> {escape(unit)}</tspan></text>',
    ]
    for number, (cell, spread) in enumerate(zip(cells, spreads, strict=True)):
        y = HEAD - 14 + number * (BAR + GAP)
        low, end, high = (NAMES + value * scale for value in (spread.low, spread.middle, spread.high))
        fill = OURS if cell.server.startswith("duplexcore") else OTHERS
        across = f'y1="{y + BAR / 2}" y2="{y + BAR / 2}" stroke="{INK}"'
        lines += [
            f'<text x="{NAMES - 6}" y="{y + 11}" text-anchor="end" fill="{INK}">{escape(cell.server)}</text>',
            f'<rect x="{NAMES}" y="{y}" width="{end - NAMES:.1f}" height="{BAR}" fill="{fill}"/>',
            f'<line x1="{low:.1f}" x2="{high:.1f}" {across}/>',
            f'<text x="{high + 6:.1f}" y="{y + 11}" fill="{FAINT}">{short(spread.middle)}</text>',
        ]
    return lines
