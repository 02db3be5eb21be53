"""docs/limits.md: each limit with its setting and default, and what the engine keeps under each flood, measured.

python scripts/limits.py             writes the table of limits, and measures the floods (a minute or two)
python scripts/limits.py --check     exit 1 if the table of limits is not that of the code; measures nothing
"""

from __future__ import annotations

import argparse
import sys
from operator import attrgetter
from pathlib import Path

from duplexcore import ClientConfig, Limit, ServerConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "limits.md"
#: How many frames, or pairs of them, a flood has.
FRAMES = 1_200

#: What a breach does, and the rule that asks for the limit.
CONSEQUENCES: dict[Limit, tuple[str, str]] = {
    Limit.MAX_RECEIVE_MESSAGE_SIZE: ("the call ends, RESOURCE_EXHAUSTED", "FRM-4, COMP-6"),
    Limit.MAX_HEADER_LIST_SIZE: ("the call is refused or ends, RESOURCE_EXHAUSTED", "MD-10, MD-11"),
    Limit.STREAM_WINDOW: ("the call ends, FLOW_CONTROL_ERROR", "FLOW-9"),
    Limit.MAX_CONCURRENT_CALLS: ("the call is refused, REFUSED_STREAM", "CONN-8, SEC-1"),
    Limit.CONNECTION_WINDOW: ("GOAWAY, FLOW_CONTROL_ERROR", "FLOW-9"),
    Limit.MAX_FRAME_SIZE: ("GOAWAY, FRAME_SIZE_ERROR", "MAL-7"),
    Limit.HARD_HEADER_LIST_SIZE: ("GOAWAY", "MD-11, SEC-6"),
    Limit.HEADER_TABLE_SIZE: ("GOAWAY, COMPRESSION_ERROR", "SEC-6"),
    Limit.HEADER_BLOCK_RATIO: ("GOAWAY", "SEC-5"),
    Limit.CONTINUATION_FRAMES: ("GOAWAY", "SEC-5"),
    Limit.TABLE_SIZE_UPDATES: ("GOAWAY, COMPRESSION_ERROR", "SEC-6"),
    Limit.SETTINGS_ENTRIES: ("GOAWAY", "SEC-8"),
    Limit.CONTROL_FRAMES_CLOSE: ("GOAWAY; reading stops at `abuse.control_frames_stop_reading`", "SEC-4"),
    Limit.UNREAD_BYTES: ("calls are refused, REFUSED_STREAM; at twice as much GOAWAY (see below)", "SEC-11"),
    Limit.SETTINGS_FRAMES: ("GOAWAY; in each `abuse.period`", "SEC-8"),
    Limit.PRIORITY_FRAMES: ("GOAWAY; in each `abuse.period`", "SEC-8"),
    Limit.PEER_RESETS: ("GOAWAY; in each `abuse.reset_period`", "SEC-2"),
    Limit.OWN_RESETS: ("GOAWAY; in each `abuse.reset_period`", "SEC-3"),
    Limit.EMPTY_DATA_IN_A_ROW: ("GOAWAY", "SEC-7"),
    Limit.EMPTY_DATA_ON_CONNECTION: ("GOAWAY", "SEC-7"),
    Limit.INTERIM_RESPONSES: ("GOAWAY", "MAL-5"),
    Limit.MAX_PING_STRIKES: ("GOAWAY, `too_many_pings`", "KEEP-8"),
    Limit.HANDSHAKE_TIMEOUT: ("the connection is closed", "CONN-3, SEC-10"),
    Limit.SETTINGS_ACK_TIMEOUT: ("GOAWAY, SETTINGS_TIMEOUT", "CONN-4"),
    Limit.HEADER_BLOCK_TIMEOUT: ("GOAWAY, on a server", "SEC-10"),
    Limit.FRAME_TIMEOUT: ("GOAWAY, on a server", "SEC-10"),
    Limit.WRITE_TIMEOUT: ("the transport gives the connection up, while keepalive is off", "SEC-10"),
    Limit.KEEPALIVE_TIMEOUT: ("GOAWAY, NO_ERROR", "KEEP-6"),
    Limit.UNUSED_TIMEOUT: ("a server drains the connection", "SEC-10"),
    Limit.MAX_CONNECTION_IDLE: ("a server drains the connection", "GOAW-3"),
    Limit.MAX_CONNECTION_AGE: ("a server drains the connection", "GOAW-3"),
}


def limits_table() -> str:
    rows = ["| setting | default | at a breach | rule |", "| --- | --- | --- | --- |"]
    for limit in Limit:
        consequence, rules = CONSEQUENCES[limit]
        rows.append(f"| `{limit.value}` | {default_of(limit)} | {consequence} | {rules} |")
    return "\n".join(rows) + "\n"


def default_of(limit: Limit) -> str:
    values: dict[str, object] = {}
    for side, config in (("client", ClientConfig()), ("server", ServerConfig())):
        try:
            values[side] = attrgetter(limit.value)(config)
        except AttributeError:
            continue
    if len(set(values.values())) == 1:
        return f"{next(iter(values.values())):,}"
    return ", ".join(f"{side} {value:,}" for side, value in values.items())


def memory_table() -> str:
    from tests.support.floods import FLOODS, KIB, SLACK, measure  # noqa: PLC0415 - its path is set first

    rows = [
        f"| flood, of {FRAMES:,} frames or pairs | measured, KiB | allowed, KiB | made of slack and | ended by |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    for name, flood in FLOODS.items():
        taken = measure(flood, FRAMES)
        allowed = (SLACK + flood.most(flood.config)) / KIB
        ended = f"`{taken.limit}`, after {taken.frames:,}" if taken.limit else ""
        rows.append(f"| {name} | {taken.most / KIB:,.0f} | {allowed:,.0f} | {flood.formula} | {ended} |")
    return "\n".join(rows) + "\n"


def between(text: str, name: str, fresh: str | None) -> str:
    """The part of the page that has that name; with ``fresh`` the whole page with it in place."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    head, rest = text.split(begin)
    part, tail = rest.split(end)
    return part if fresh is None else head + begin + fresh + end + tail


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    checking: bool = parser.parse_args().check
    text = PAGE.read_text(encoding="utf-8")
    if checking:
        if between(text, "limits", None) == limits_table():
            return 0
        print("docs/limits.md is stale: python scripts/limits.py")
        return 1
    sys.path.insert(0, str(ROOT))
    text = between(text, "limits", limits_table())
    PAGE.write_text(between(text, "memory", memory_table()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
