"""The life of a duplex call, situation by situation: each in every order in which it can happen.

A row is two scripts and what each side may hear (see `tests.support.worlds`). In process every interleaving of what
the sides do, what is framed and what arrives is walked; over real connections some are, with the bytes arriving whole
and one at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from duplexcore import ClientCall, ServerCall
from duplexcore.fingerprint import fingerprint
from tests.support.worlds import Http2World, InProcessWorld, World, chooser, explore


@dataclass(frozen=True)
class Row:
    ids: str
    client: str
    server: str
    #: What the client may hear, and the server: each of it in some order of events, nothing else in any.
    hears: set[str]
    answers: set[str]
    #: What they may frame over HTTP/2: patterns of `Http2World.wire`.
    up: str = ".*"
    down: str = ".*"
    options: dict[str, Any] = field(default_factory=dict)
    #: Where the orders are too many, some are tried in process, too.
    large: bool = False


ANSWERED = r"HEADERS(, DATA)*, HEADERS ES(, RST NO_ERROR)?"
LONG = {"window": 10}
BIG = "m*30"

ROWS = [
    # --- the ordinary ways ---
    Row(
        "DUP-1 D-9",
        "a b half-close",
        "?half-closed x y OK",
        {"headers x y OK"},
        {"a b half-closed OK"},
        r"(?!.*RST).*",
        r"(?!.*RST).*",
    ),
    Row("DUP-2 D-11", "?x a ?y half-close", "x ?a y ?half-closed OK", {"headers x y OK"}, {"a half-closed OK"}),
    Row(
        "DUP-2 D-12 D-13",
        "?x a",
        "x ?a y z w OK",
        {"headers x y z w OK"},
        {"a OK"},
        r"HEADERS, DATA(, RST NO_ERROR)?",
        ANSWERED,
    ),
    Row(
        "DUP-2 D-4",
        "a b c d e half-close",
        "v w x y z ?half-closed OK",
        {"headers v w x y z OK"},
        {"a b c d e half-closed OK"},
        large=True,
    ),
    Row("D-2", "half-close", "?half-closed OK", {"OK"}, {"half-closed OK"}, "HEADERS, DATA ES", "HEADERS ES"),
    Row("D-2", "half-close", "?half-closed x y OK", {"headers x y OK"}, {"half-closed OK"}),
    Row("D-2", "a b half-close", "?half-closed OK", {"OK"}, {"a b half-closed OK"}),
    Row("D-2", "a half-close", "?half-closed x OK", {"headers x OK"}, {"a half-closed OK"}),
    Row("D-2 FRM-3", "a*0 b a*0 half-close", "?half-closed x*0 OK", {"headers '' OK"}, {"'' b '' half-closed OK"}),
    Row("D-2", "a b c half-close", "x y ?half-closed z OK", {"headers x y z OK"}, {"a b c half-closed OK"}, large=True),
    Row(
        "D-28",
        "half-close half-close",
        "?half-closed x y z OK",
        {"headers x y z OK"},
        {"half-closed OK"},
        r"HEADERS, DATA ES",
    ),
    Row("D-5 D-8b D-14 STAT-2", "", "OK", {"OK"}, {"OK"}, r"HEADERS(, RST NO_ERROR)?", r"HEADERS ES, RST NO_ERROR"),
    Row("D-8c", "?headers a half-close", "headers ?half-closed OK", {"headers OK"}, {"a half-closed OK"}),
    # --- the server ends first ---
    Row(
        "DUP-3 DUP-4 DUP-15 D-8a D-14",
        "a b half-close",
        "?a x NOT_FOUND",
        {"headers x NOT_FOUND"},
        {"a NOT_FOUND", "a b NOT_FOUND", "a b half-closed NOT_FOUND"},
        r"HEADERS(, DATA)+( ES|, RST NO_ERROR)?",
        ANSWERED,
    ),
    Row(
        "DUP-3 DUP-15 D-8a",
        "a b",
        "ABORTED",
        {"ABORTED"},
        {"ABORTED", "a ABORTED", "a b ABORTED"},
        r"HEADERS(, DATA)*(, RST NO_ERROR)?",
        r"HEADERS ES, RST NO_ERROR",
    ),
    Row(
        "DUP-14",
        "half-close",
        "OK",
        {"OK"},
        {"OK", "half-closed OK"},
        r"HEADERS(, DATA ES)?(, RST NO_ERROR)?",
        r"HEADERS ES(, RST NO_ERROR)?",
    ),
    Row("DUP-15", "a b c", "?a OK", {"OK"}, {"a OK", "a b OK", "a b c OK"}, large=True),
    Row(
        "DUP-23",
        "",
        "headers NOT_FOUND",
        {"headers NOT_FOUND"},
        {"NOT_FOUND"},
        down="HEADERS, HEADERS ES, RST NO_ERROR",
    ),
    Row("DUP-24", "", "x y z DATA_LOSS", {"headers x y z DATA_LOSS"}, {"DATA_LOSS"}, down=ANSWERED),
    Row(
        "DUP-38", "", "PERMISSION_DENIED", {"PERMISSION_DENIED"}, {"PERMISSION_DENIED"}, down="HEADERS ES, RST NO_ERROR"
    ),
    Row("D-34", "?OK a", "OK", {"OK"}, {"OK"}, r"HEADERS(, RST NO_ERROR)?"),
    # --- the client leaves ---
    Row("DUP-8 DUP-9", "cancel", "", {"CANCELLED"}, {"", "CANCELLED"}, r"|HEADERS, RST CANCEL"),
    Row(
        "DUP-10 CANC-1 CANC-2",
        "a cancel cancel",
        "?a x y ?half-closed OK",
        {"CANCELLED", "headers CANCELLED", "headers x CANCELLED", "headers x y CANCELLED"},
        {"", "CANCELLED", "a CANCELLED"},
        r"(HEADERS(, DATA)?, RST CANCEL)?",
        r"(HEADERS(, DATA)*)?",
    ),
    Row(
        "DUP-11 DUP-10",
        "half-close cancel",
        "?half-closed x OK",
        {"CANCELLED", "headers CANCELLED", "headers x CANCELLED", "headers x OK"},
        {"", "CANCELLED", "half-closed CANCELLED", "half-closed OK"},
        r"|HEADERS, RST CANCEL|HEADERS, DATA ES(, RST CANCEL)?",
    ),
    Row(
        "DUP-12 DUP-10",
        "a deadline cancel",
        "?a x OK",
        {"DEADLINE_EXCEEDED", "headers DEADLINE_EXCEEDED", "headers x DEADLINE_EXCEEDED", "headers x OK"},
        {"", "CANCELLED", "a CANCELLED", "a OK"},
        r"(HEADERS(, DATA)?(, RST (CANCEL|NO_ERROR))?)?",
    ),
    Row("DUP-16", "a cancel", "?CANCELLED x INTERNAL", {"CANCELLED"}, {"", "CANCELLED", "a CANCELLED"}, down=""),
    # --- the server is cut off ---
    Row(
        "DUP-13",
        "half-close",
        "?half-closed x deadline OK",
        {"DEADLINE_EXCEEDED", "headers DEADLINE_EXCEEDED", "headers x DEADLINE_EXCEEDED"},
        {"half-closed DEADLINE_EXCEEDED"},
        down=r"(HEADERS, (DATA, )?)?HEADERS ES",
    ),
    Row(
        "DUP-13",
        "",
        "headers deadline",
        {"DEADLINE_EXCEEDED", "headers DEADLINE_EXCEEDED"},
        {"DEADLINE_EXCEEDED"},
        down=r"(HEADERS, )?HEADERS ES, RST NO_ERROR",
    ),
    Row("DUP-35", "", "abort", {"CANCELLED"}, {"CANCELLED"}, down="HEADERS ES, RST NO_ERROR"),
    Row(
        "DUP-35 DUP-13",
        "",
        f"{BIG} deadline",
        {"DEADLINE_EXCEEDED", "headers DEADLINE_EXCEEDED", "headers CANCELLED", f"headers {BIG} DEADLINE_EXCEEDED"},
        {"DEADLINE_EXCEEDED"},
        options=LONG,
    ),
    Row(
        "DUP-35",
        "",
        f"{BIG} abort",
        {"CANCELLED", "headers CANCELLED", f"headers {BIG} CANCELLED"},
        {"CANCELLED"},
        options=LONG,
    ),
    # --- a server that breaks off, or breaks rules ---
    Row("DUP-6 D-13", "", "raw headers rst:NO_ERROR", {"headers INTERNAL"}, {""}, "HEADERS"),
    Row("DUP-6", "a", "raw headers x rst:NO_ERROR", {"headers x INTERNAL"}, {""}, r"(HEADERS(, DATA)?)?"),
    Row("DUP-6", "", "raw headers part rst:NO_ERROR", {"headers INTERNAL"}, {""}, "HEADERS"),
    Row(
        "DUP-6 STAT-17", "", "raw headers x rst:NO_ERROR", {"headers INTERNAL"}, {""}, options={"single_response": True}
    ),
    Row("DUP-7", "", "raw headers x y rst:ENHANCE_YOUR_CALM", {"headers x y RESOURCE_EXHAUSTED"}, {""}, "HEADERS"),
    Row("DUP-7", "", "raw rst:CANCEL", {"CANCELLED"}, {""}, "HEADERS"),
    Row("D-13 DUP-4", "", "raw headers x OK rst:NO_ERROR", {"headers x OK"}, {""}, r"HEADERS(, RST NO_ERROR)?"),
    Row("D-13 DUP-4", "", "raw headers x OK rst:CANCEL", {"headers x OK"}, {""}, r"HEADERS(, RST NO_ERROR)?"),
    Row("DUP-19", "", "raw headers x end", {"headers x INTERNAL"}, {""}, "HEADERS, RST NO_ERROR"),
    Row(
        "DUP-19", "half-close", "raw headers x end", {"headers x INTERNAL"}, {""}, r"HEADERS(, DATA ES|, RST NO_ERROR)?"
    ),
    Row("DUP-20", "", "raw headers trailers", {"headers UNKNOWN"}, {""}, "HEADERS, RST NO_ERROR"),
    Row("DUP-21", "", "raw headers again OK", {"headers INTERNAL"}, {""}, "HEADERS, RST PROTOCOL_ERROR"),
    Row("DUP-22", "", "raw end", {"INTERNAL"}, {""}, "HEADERS, RST NO_ERROR"),
    Row("DUP-22", "half-close", "raw end", {"INTERNAL"}, {""}, r"HEADERS(, DATA ES|, RST NO_ERROR)"),
    Row("DUP-22", "", "raw x OK", {"INTERNAL"}, {""}, "HEADERS, RST PROTOCOL_ERROR"),
    Row("FRM-8", "", "raw headers part OK", {"headers INTERNAL"}, {""}, "HEADERS, RST NO_ERROR"),
    Row("FRM-8", "", "raw headers part NOT_FOUND", {"headers NOT_FOUND"}, {""}, "HEADERS, RST NO_ERROR"),
    # --- a client that breaks off, or breaks rules ---
    Row(
        "DUP-34 FRM-10",
        "raw request-end",
        "?half-closed x OK",
        {""},
        {"half-closed OK"},
        down="HEADERS, DATA, HEADERS ES",
    ),
    Row(
        "DUP-18 FRM-7",
        "raw request part end",
        "x OK",
        {""},
        {"INTERNAL", "OK"},
        down=r"(HEADERS, DATA, )?HEADERS ES(, RST NO_ERROR)?",
    ),
    Row("DUP-18 FRM-7", "raw request a part end", "?a", {""}, {"a INTERNAL"}, down="HEADERS ES"),
    Row("HDR-16", "raw request a trailers", "?half-closed OK", {""}, {"a half-closed OK"}, down="HEADERS ES"),
    Row("CANC-2 DUP-16", "raw request a rst:INTERNAL_ERROR", "?CANCELLED x OK", {""}, {"a CANCELLED"}, down=""),
    # --- one message exactly ---
    Row(
        "STAT-14",
        "half-close",
        "?half-closed OK",
        {"UNIMPLEMENTED"},
        {"UNIMPLEMENTED"},
        down="HEADERS ES",
        options={"single_request": True},
    ),
    Row(
        "STAT-14",
        "a b half-close",
        "?half-closed OK",
        {"UNIMPLEMENTED"},
        {"UNIMPLEMENTED"},
        down=r"HEADERS ES(, RST NO_ERROR)?",
        options={"single_request": True},
    ),
    Row(
        "STAT-14",
        "a half-close",
        "?a ?half-closed x OK",
        {"headers x OK"},
        {"a half-closed OK"},
        options={"single_request": True},
    ),
    Row("STAT-14", "a", "?a OK", {""}, {""}, options={"single_request": True}),
    Row("STAT-15", "", "headers OK", {"headers UNIMPLEMENTED"}, {"OK"}, options={"single_response": True}),
    Row("STAT-15", "", "OK", {"UNIMPLEMENTED"}, {"OK"}, options={"single_response": True}),
    Row(
        "STAT-15",
        "half-close",
        "raw headers x y",
        {"headers UNIMPLEMENTED"},
        {""},
        r"HEADERS, (DATA ES, )?RST CANCEL",
        options={"single_response": True},
    ),
    Row("STAT-16", "", "x ABORTED", {"headers ABORTED"}, {"ABORTED"}, options={"single_response": True}),
    Row("STAT-17", "", "x OK", {"headers x OK"}, {"OK"}, options={"single_response": True}),
    Row("STAT-17", "", "x", {"headers"}, {""}, options={"single_response": True}),
]


PARAMS = [
    pytest.param(
        row,
        id=f"{row.ids.split()[0]}: {row.client or 'nothing'} | {row.server or 'nothing'}",
        marks=pytest.mark.req(*row.ids.split(), "DUP-39"),
    )
    for row in ROWS
]


def check_end(world: World, row: Row) -> None:
    """P4, P8: an end of each side that began, and no command changes it any more."""
    assert world.client.history in row.hears
    assert world.server.history in row.answers
    for side in (world.client, world.server):
        if side.call is None or side.call.ended is None:
            continue
        ended, before = side.call.ended, fingerprint(side.call)
        assert side.call.send_message(b"late") is False
        if isinstance(side.call, ClientCall):
            side.call.half_close()
            side.call.cancel()
            side.call.on_deadline()
        elif isinstance(side.call, ServerCall):
            side.call.abort()
            side.call.on_deadline()
        assert side.call.next_event() is None
        assert side.call.ended is ended
        assert fingerprint(side.call) == before
        assert ended.unprocessed is (isinstance(side.call, ClientCall) and not side.call._opened)


@pytest.mark.parametrize("row", PARAMS)
def test_in_process_in_every_order(row: Row) -> None:
    world = InProcessWorld(row.client, row.server, **row.options)
    if row.large:
        ends = [InProcessWorld(row.client, row.server, **row.options) for _ in range(20)]
        for seed, one in enumerate(ends):
            one.settle(chooser(seed))
    else:
        ends = list(explore(world))  # type: ignore[arg-type]
    for one in ends:
        check_end(one, row)
    if not row.large:
        assert {one.client.history for one in ends} == row.hears
        assert {one.server.history for one in ends} == row.answers


@pytest.mark.parametrize("row", PARAMS)
def test_over_http_2_in_many_orders_and_cut_at_every_byte(row: Row) -> None:
    options = {name: value for name, value in row.options.items() if name != "window"}
    for seed in range(3):
        whole, bytewise = (Http2World(row.client, row.server, step=step, **options) for step in (None, 1))
        for world in (whole, bytewise):
            world.settle(chooser(seed))
            check_end(world, row)
            check_wire(world, row)
        assert whole.histories == bytewise.histories
        assert whole.frames == bytewise.frames
        assert [fingerprint(end) for end in whole.ends.values()] == [fingerprint(end) for end in bytewise.ends.values()]


def check_wire(world: Http2World, row: Row) -> None:
    for side, wire, pattern in zip((world.client, world.server), world.wire, (row.up, row.down), strict=True):
        if side.raw:
            continue
        assert re.fullmatch(pattern, wire), wire
        assert wire.count("RST") <= 1  # P33
        assert re.fullmatch(r"(HEADERS(?! ES), )?(DATA, )*(DATA|DATA ES|HEADERS|HEADERS ES)?(, )?(RST \w+)?", wire), (
            wire
        )
