"""The rows of the duplex lifecycle, each a script with what both sides must hear, owe, and may frame next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from duplexcore.testing.model.call import CallModel
from duplexcore.testing.model.side import owes
from duplexcore.testing.model.vocabulary import Misuse, ModelViolation
from tests.testing_model.scripts import legal, play, told


@dataclass(frozen=True)
class Row:
    ids: str
    script: str
    client: str
    server: str = "started"
    #: What each may frame afterwards (of the alphabet), and what it owes.
    client_may: str = ""
    server_may: str = ""
    single_request: bool = False
    single_response: bool = False


UP = "C.start C>H S<"  # opened, heard
BOTH = UP + " S.headers S>H C<"  # and answered
HALF = UP + " C.send C.close C>D1:ES S<"  # one request, half-closed, heard

ROWS = [
    Row("D-5 D-10", "C.start", "", "", client_may="H"),
    Row("D-5 HDR-12", "C.start+deadline", "", "", client_may="H+t"),
    Row("D-10 D-11", "C.start C>H *", "", "started", client_may=""),
    Row(
        "DUP-1",
        HALF + " S.send S.OK S>H S>D1 S>T:OK *",
        "headers m OK peer",
        "started m half-closed OK local",
    ),
    Row("DUP-2 D-11 D-12", UP + " S.send S.send S>H S>D2 *", "headers m m", "started"),
    Row("D-8c STAT-3", UP + " S.headers", "", "started", server_may="H"),
    Row("STAT-2 D-8b", UP + " S.OK", "", "started", server_may="T:OK"),
    Row("STAT-2 D-8b", UP + " S.headers S.OK", "", "started", server_may="H"),
    Row("STAT-2", UP + " S.headers S>H S.NOT_FOUND", "", "started", server_may="T:NOT_FOUND"),
    Row("FLOW-8", UP + " S.send S.OK S>H", "", "started", server_may="Dp D1"),
    Row("FLOW-8", UP + " S.send S.send S.OK S>H S>D1", "", "started", server_may="Dp D1"),
    Row("FLOW-8 D-13", UP + " S.send S.OK S>H S>Dp", "", "started", server_may="Dp D1"),
    Row("FLOW-8 D-13", UP + " S.send S.OK S>H S>Dp S>D1", "", "started", server_may="T:OK"),
    Row("FRM-10", "C.start C.send C.close C>H", "", "", client_may="Dp D1 D1:ES"),
    Row("FRM-10 D-28", "C.start C.close C.close C>H", "", "", client_may="D:ES"),
    Row("FRM-10 D-28", "C.start C.close C>H C>D:ES *", "", "started half-closed"),
    Row("DUP-3 D-8a", BOTH + " S.NOT_FOUND S>T:NOT_FOUND", "headers", "started NOT_FOUND local", "", "R:NO_ERROR"),
    Row(
        "DUP-3 DUP-33",
        BOTH + " C.send S.OK S>T:OK C<",
        "headers OK peer",
        "started OK local",
        "R:NO_ERROR",
        "R:NO_ERROR",
    ),
    Row("DUP-3", BOTH + " S.OK S>T:OK S>R:NO_ERROR *", "headers OK peer", "started OK local"),
    Row("DUP-3", BOTH + " S.OK S>T:OK C< C>R:NO_ERROR S<", "headers OK peer", "started OK local"),
    Row("DUP-4 D-13", BOTH + " S.send S.OK S>D1 S>T:OK S>R:NO_ERROR *", "headers m OK peer", "started OK local"),
    Row("DUP-5 D-13", BOTH + " C<D1 C<T:OK C<R:CANCEL", "headers m OK peer", "started"),
    Row("DUP-6", BOTH + " C<R:NO_ERROR", "headers INTERNAL peer", "started"),
    Row("DUP-6", BOTH + " C<D1p C<R:NO_ERROR", "headers m INTERNAL peer", "started"),
    Row("DUP-6 STAT-17", BOTH + " C<D1 C<R:NO_ERROR", "headers INTERNAL peer", "started", single_response=True),
    Row("DUP-7 ERR-B", BOTH + " C<D2 C<R:ENHANCE_YOUR_CALM", "headers m m RESOURCE_EXHAUSTED peer"),
    Row("DUP-7 ERR-B", UP + " C<R:INADEQUATE_SECURITY", "PERMISSION_DENIED peer"),
    *(
        Row("DUP-7 ERR-B", f"{UP} C<R:{code}", "INTERNAL peer")
        for code in ("PROTOCOL_ERROR", "FLOW_CONTROL_ERROR", "STREAM_CLOSED", "HTTP_1_1_REQUIRED", "FRAME_SIZE_ERROR")
    ),
    Row("DUP-8 CANC-1", "C.start C.send C.cancel", "CANCELLED local unprocessed", ""),
    Row("DUP-9 CANC-1", "C.start C>H C.cancel", "CANCELLED local", "", client_may="R:CANCEL"),
    Row("DUP-9", "C.start C>H C.cancel C>R:CANCEL *", "CANCELLED local", "started CANCELLED peer"),
    Row("DUP-10 CANC-5", BOTH + " C.send C.cancel", "headers CANCELLED local", client_may="R:CANCEL"),
    Row("DUP-10", HALF + " C.cancel", "CANCELLED local", "started m half-closed", client_may="R:CANCEL"),
    Row("DUP-10", HALF + " S.send C.cancel C>R:CANCEL *", "CANCELLED local", "started m half-closed CANCELLED peer"),
    Row("DUP-10", BOTH + " C.cancel C<D1 C<T:OK", "headers CANCELLED local", client_may="R:CANCEL"),
    Row("DUP-10", BOTH + " C.close C>D:ES C.cancel C<T:OK", "headers CANCELLED local"),
    Row("CANC-1", BOTH + " C.cancel C>R:CANCEL C.cancel", "headers CANCELLED local"),
    Row(
        "DUP-11",
        BOTH + " S.OK S>T:OK C.cancel C<",
        "headers CANCELLED local",
        "started OK local",
        "R:CANCEL",
        "R:NO_ERROR",
    ),
    Row("DUP-11", BOTH + " S.OK S>T:OK C< C.cancel", "headers OK peer", "started OK local", "R:NO_ERROR", "R:NO_ERROR"),
    Row("DUP-12 DEAD-2", "C.start+deadline C.deadline", "DEADLINE_EXCEEDED local unprocessed", ""),
    Row(
        "DUP-12 DEAD-5",
        "C.start+deadline C>H+t C.deadline C<H C<T:OK C>R:CANCEL *",
        "DEADLINE_EXCEEDED local",
        "started CANCELLED peer",
    ),
    Row(
        "DUP-13 DEAD-5",
        "C.start+deadline C>H+t * S.deadline",
        "",
        "started DEADLINE_EXCEEDED local",
        server_may="T:DEADLINE_EXCEEDED",
    ),
    Row(
        "DUP-13",
        "C.start+deadline C>H+t * S.send S>H S.deadline S>T:DEADLINE_EXCEEDED *",
        "headers DEADLINE_EXCEEDED peer",
        "started DEADLINE_EXCEEDED local",
        "R:NO_ERROR",
        "R:NO_ERROR",
    ),
    Row(
        "DUP-13",
        "C.start+deadline C>H+t C.close C>D:ES * S.OK S.deadline S>T:DEADLINE_EXCEEDED *",
        "DEADLINE_EXCEEDED peer",
        "started half-closed DEADLINE_EXCEEDED local",
    ),
    Row(
        "DUP-13 DUP-35",
        "C.start+deadline C>H+t * S.send S>H S>Dp S.deadline",
        "",
        "started DEADLINE_EXCEEDED local",
        server_may="R:CANCEL",
    ),
    Row("DUP-13 DEAD-6", "C.start+deadline C>H+t C<R:late,CANCEL", "DEADLINE_EXCEEDED local", ""),
    Row("DUP-13 DUP-7", "C.start+deadline C>H+t C<R:CANCEL", "CANCELLED peer", ""),
    Row("DEAD-6", "C.start+deadline C>H+t C<R:late,INTERNAL_ERROR", "INTERNAL peer", ""),
    Row(
        "DUP-14",
        BOTH + " C.close C>D:ES S.OK S>T:OK S>R:NO_ERROR S< C< C<",
        "headers OK peer",
        "started OK local",
    ),
    Row("DUP-14", BOTH + " C.close C>D:ES S.OK S>T:OK S< C<", "headers OK peer", "started OK local"),
    Row("DUP-15 DUP-3", UP + " C.send C.send C>D2 S< S.OK S>T:OK S>R:NO_ERROR *", "OK peer", "started m m OK local"),
    Row("DUP-16 CANC-2", BOTH + " S<R:INTERNAL_ERROR S.send S.INTERNAL", "headers", "started CANCELLED peer"),
    Row("DUP-16 CANC-2", BOTH + " S.send S.OK S<R:NO_ERROR", "headers", "started CANCELLED peer"),
    Row("DUP-16", BOTH + " S<EOF S.OK", "headers", "started CANCELLED transport"),
    Row(
        "DUP-17 ERR-D",
        UP + " S<D1:ES S<D1",
        "",
        "started m half-closed CANCELLED library",
        server_may="R:STREAM_CLOSED",
    ),
    Row("DUP-18 FRM-7", UP + " S<D1p:ES", "", "started m INTERNAL library", server_may="T:INTERNAL"),
    Row("DUP-18 FRM-7", UP + " S<Dp S<T:-", "", "started INTERNAL library", server_may="T:INTERNAL"),
    Row("DUP-18 FRM-9", UP + " S<Dp:ES S>T:INTERNAL", "", "started INTERNAL library"),
    Row("DUP-19", BOTH + " C<D1:ES", "headers m INTERNAL library", client_may="R:NO_ERROR"),
    Row("DUP-19", BOTH + " C.close C>D:ES C<D:ES", "headers INTERNAL library"),
    Row("DUP-20", BOTH + " C<T:-", "headers UNKNOWN library", client_may="R:NO_ERROR"),
    Row("DUP-20 ERR-1", UP + " C<T:-", "UNKNOWN library", client_may="R:NO_ERROR"),
    Row("DUP-21", BOTH + " C<H", "headers INTERNAL library", client_may="R:PROTOCOL_ERROR"),
    Row("DUP-22", UP + " C<D1", "INTERNAL library", client_may="R:PROTOCOL_ERROR"),
    Row("DUP-22", UP + " C<D:ES", "INTERNAL library", client_may="R:NO_ERROR R:PROTOCOL_ERROR"),
    Row(
        "DUP-23",
        BOTH + " S.NOT_FOUND S>T:NOT_FOUND S>R:NO_ERROR *",
        "headers NOT_FOUND peer",
        "started NOT_FOUND local",
    ),
    Row(
        "DUP-24",
        BOTH + " S.send S.send S.NOT_FOUND S>D2 S>T:NOT_FOUND S>R:NO_ERROR *",
        "headers m m NOT_FOUND peer",
        "started NOT_FOUND local",
    ),
    Row("DUP-25", BOTH + " C<G C<D1", "headers m"),
    Row("DUP-26 P40", "C.start C>H S>G- *", "UNAVAILABLE transport unprocessed", ""),
    Row("DUP-26", BOTH + " C<D1 C<G-", "headers m UNAVAILABLE transport"),
    Row("DUP-26 GOAW-6", "C.start C<G", "UNAVAILABLE transport unprocessed", ""),
    Row("GOAW-4", "C<G C.start", "UNAVAILABLE transport unprocessed", ""),
    Row("DUP-27", BOTH + " C<G C<EOF S<EOF", "headers UNAVAILABLE transport", "started CANCELLED transport"),
    Row("DUP-28", UP + " C<R:REFUSED_STREAM", "UNAVAILABLE peer unprocessed"),
    Row("DUP-28 RETRY-4", UP + " C<H C<R:REFUSED_STREAM", "headers UNAVAILABLE peer"),
    Row("DUP-28 CONN-8", "S.refuse C.start C>H S<", "", "", server_may="R:REFUSED_STREAM"),
    Row("DUP-29", BOTH + " C<D1p C<EOF S<Dp S<EOF", "headers m UNAVAILABLE transport", "started CANCELLED transport"),
    Row("DUP-29", BOTH + " C<T:OK C<EOF", "headers OK peer"),
    Row("DUP-29", "C.start C<EOF", "UNAVAILABLE transport unprocessed", ""),
    Row("DUP-29", BOTH + " C.cancel C<EOF", "headers CANCELLED local"),
    Row("DUP-30 DUP-32", BOTH + " C>G S<", "headers"),
    Row("DUP-33 DUP-41", BOTH + " C.send C.send C>D1 C<R:INTERNAL_ERROR", "headers INTERNAL peer"),
    Row("DUP-33 DUP-41", BOTH + " S.send S.send S>D1 S<R:CANCEL", "headers", "started CANCELLED peer"),
    Row("DUP-34", UP.replace(" S<", "") + " S<H:ES", "", "started half-closed"),
    Row("DUP-35", BOTH + " S.send S>Dp S.abort", "headers", "started CANCELLED local", server_may="R:CANCEL"),
    Row("DUP-35", BOTH + " S.send S>Dp S.abort S>R:CANCEL *", "headers CANCELLED peer", "started CANCELLED local"),
    Row("DUP-35", BOTH + " S.send S.abort", "headers", "started CANCELLED local", server_may="T:CANCELLED"),
    # Headers that were asked for may go first, or not.
    Row("DUP-35 STAT-2", UP + " S.headers S.abort", "", "started CANCELLED local", server_may="H T:CANCELLED"),
    Row("DUP-35", UP + " S.abort S>T:CANCELLED S>R:NO_ERROR *", "CANCELLED peer", "started CANCELLED local"),
    Row(
        "DUP-36",
        BOTH + " C.cancel C>R:CANCEL S.fault S>R:INTERNAL_ERROR *",
        "headers CANCELLED local",
        "started INTERNAL library",
    ),
    Row("DUP-36", BOTH + " C.cancel C<R:CANCEL", "headers CANCELLED local"),
    Row("DUP-37", BOTH + " S.OK S>T:OK S>R:NO_ERROR S<R:CANCEL S<R:CANCEL", "headers", "started OK local"),
    Row("DUP-38", UP + " S.CANCELLED S>T:CANCELLED S>R:NO_ERROR *", "CANCELLED peer", "started CANCELLED local"),
    Row("HDR-16", UP + " S<D1 S<T:-", "", "started m half-closed"),
    Row("FRM-8", BOTH + " C<Dp C<T:OK", "headers INTERNAL library", client_may="R:NO_ERROR"),
    Row("FRM-8", BOTH + " C<Dp C<T:NOT_FOUND", "headers NOT_FOUND peer", client_may="R:NO_ERROR"),
    Row(
        "FRM-9 FRM-4 ERR-D",
        BOTH + " C<D1!RESOURCE_EXHAUSTED",
        "headers m RESOURCE_EXHAUSTED library",
        client_may="R:CANCEL",
    ),
    Row("FRM-9 FRM-1", UP + " S<D1!INTERNAL", "", "started m INTERNAL library", server_may="T:INTERNAL"),
    Row("FRM-9", UP + " S<D!INTERNAL S>T:INTERNAL", "", "started INTERNAL library", server_may="R:NO_ERROR"),
    Row("FRM-9", UP + " S<D!INTERNAL:ES S>T:INTERNAL", "", "started INTERNAL library"),
    Row("ERR-D", BOTH + " C.fault", "headers INTERNAL library", client_may="R:INTERNAL_ERROR"),
    Row("MD-12", "C.start C.unfit", "INTERNAL library unprocessed", ""),
    Row("MD-12", UP + " S.headers S.unfit", "", "started INTERNAL library", server_may="T:INTERNAL"),
    Row("MD-12", UP + " S.send S.unfit S.unfit-last", "", "started INTERNAL library", server_may="R:INTERNAL_ERROR"),
    Row("MD-12", UP + " S.OK S.unfit-last", "", "started INTERNAL library", server_may="R:INTERNAL_ERROR"),
    Row("MD-12", UP + " S.abort S.unfit-last", "", "started CANCELLED local", server_may="R:INTERNAL_ERROR"),
    Row("MD-11", UP + " C<H!", "RESOURCE_EXHAUSTED library", "started", client_may="R:CANCEL"),
    Row("MD-11", UP + " C<T!:OK", "RESOURCE_EXHAUSTED library", "started", client_may="R:CANCEL"),
    Row("MD-11", BOTH + " C<T!:OK", "headers RESOURCE_EXHAUSTED library", "started", client_may="R:CANCEL"),
    Row("ERR-D", BOTH + " S.fault", "headers", "started INTERNAL library", server_may="R:INTERNAL_ERROR"),
    Row("MAL-1", BOTH + " S<H", "headers", "started INTERNAL library", server_may="R:PROTOCOL_ERROR"),
    Row("STAT-14", UP + " S<D1", "", "started", single_request=True),
    Row("STAT-14", UP + " S<D1 S<D:ES", "", "started m half-closed", single_request=True),
    Row(
        "STAT-14",
        UP + " S<D:ES",
        "",
        "started UNIMPLEMENTED library",
        server_may="T:UNIMPLEMENTED",
        single_request=True,
    ),
    Row(
        "STAT-14",
        UP + " S<D1 S<D1",
        "",
        "started UNIMPLEMENTED library",
        server_may="T:UNIMPLEMENTED",
        single_request=True,
    ),
    Row("STAT-15", BOTH + " C<T:OK", "headers UNIMPLEMENTED library", client_may="R:NO_ERROR", single_response=True),
    Row("STAT-15", BOTH + " C<D2", "headers UNIMPLEMENTED library", client_may="R:CANCEL", single_response=True),
    Row("STAT-16", BOTH + " C<D1 C<T:ABORTED", "headers ABORTED peer", client_may="R:NO_ERROR", single_response=True),
    Row("STAT-17", BOTH + " C<D1", "headers", single_response=True),
    Row("STAT-17", BOTH + " C<D1 C<T:OK", "headers m OK peer", client_may="R:NO_ERROR", single_response=True),
]


def _params(rows: list[Row]) -> list[object]:
    known = re.compile(r"[A-Z]+-\w+")
    return [
        pytest.param(row, id=f"{row.ids}: {row.script}", marks=pytest.mark.req(*known.findall(row.ids), "DUP-39"))
        for row in rows
    ]


ENDED = re.compile(r"local|peer|library|transport")


@pytest.mark.parametrize("row", _params(ROWS))
def test_what_must_follow(row: Row) -> None:
    call = play(row.script, CallModel.of(single_request=row.single_request, single_response=row.single_response))
    assert (told(call.client), told(call.server)) == (row.client, row.server)
    for side, may in ((call.client, row.client_may), (call.server, row.server_may)):
        # What an open side may frame further is listed only where the row is about it.
        if side.ended is not None or may:
            assert legal(side) == set(may.split())
            assert bool(owes(side)) is bool(may)


@dataclass(frozen=True)
class Wrong:
    rule: str
    script: str
    last: str


WRONGS = [
    Wrong("D-5", "", "C>H"),
    Wrong("D-10", "C.start C>H", "C>H"),
    Wrong("DUP-8", "C.start C.cancel", "C>H"),
    Wrong("HDR-12", "C.start", "C>H+t"),
    Wrong("HDR-12", "C.start+deadline", "C>H"),
    Wrong("FRM-10", "C.start C.close", "C>H:ES"),
    Wrong("FRM-10", "C.start C>H", "C>D:ES"),
    Wrong("FRM-10", "C.start C>H C.close", "C>T:OK"),
    Wrong("DUP-22", "C.start C.send", "C>D1"),
    Wrong("DUP-22", UP + " S.send", "S>D1"),
    Wrong("P1", "C.start C>H C.send", "C>D2"),
    Wrong("P1", "C.start C>H C.send", "C>D1p"),
    Wrong("P1", BOTH + " S.send S>D1", "S>Dp"),
    Wrong("P10", "C.start C>H C.send C.close", "C>D:ES"),
    Wrong("P10", "C.start C>H C.send C.send C.close", "C>D1:ES"),
    Wrong("P10", "C.start C>H C.send C.close", "C>Dp:ES"),
    Wrong("DUP-17", "C.start C>H C.close C>D:ES", "C>D"),
    Wrong("DUP-17", "C.start C>H C.close C>D:ES", "C>D:ES"),
    Wrong("CANC-5", BOTH + " C.send C.cancel", "C>D1"),
    Wrong("CANC-5", BOTH + " C.send C<T:OK", "C>D1"),
    Wrong("DUP-41", BOTH + " C.send C<R:CANCEL", "C>D1"),
    Wrong("DUP-9", "C.start C.cancel", "C>R:CANCEL"),
    Wrong("P33", BOTH + " C.cancel C>R:CANCEL", "C>R:CANCEL"),
    Wrong("P33", BOTH + " C.close C>D:ES C<T:OK", "C>R:NO_ERROR"),
    Wrong("P33", BOTH, "C>R:CANCEL"),
    Wrong("P33", BOTH + " C<R:CANCEL", "C>R:CANCEL"),
    Wrong("ERR-D", BOTH + " C.cancel", "C>R:NO_ERROR"),
    Wrong("ERR-D", BOTH + " C<T:OK", "C>R:CANCEL"),
    Wrong("STAT-3", UP, "S>H"),
    Wrong("DUP-21", BOTH, "S>H"),
    Wrong("DUP-16", UP + " S.headers S<R:CANCEL", "S>H"),
    Wrong("DUP-16", UP + " S.OK S<R:CANCEL", "S>T:OK"),
    Wrong("DUP-16", UP + " S.OK S>T:OK", "S>T:OK"),
    Wrong("DUP-16", UP + " S.headers S.fault", "S>H"),
    Wrong("DUP-19", BOTH, "S>D:ES"),
    Wrong("STAT-1", BOTH, "S>T:OK"),
    Wrong("P6", BOTH + " S.NOT_FOUND", "S>T:OK"),
    Wrong("P2", BOTH + " S.send S.OK", "S>T:OK"),
    Wrong("P2", BOTH + " S.send S>Dp S.OK", "S>T:OK"),
    Wrong("STAT-2", UP + " S.headers S.OK", "S>T:OK"),
    Wrong("CANC-5", BOTH + " S.send S.abort", "S>D1"),
    Wrong("STAT-1", BOTH + " S.send S>Dp S.abort", "S>T:CANCELLED"),
    Wrong("P33", BOTH + " S.abort", "S>R:CANCEL"),
    Wrong("P33", BOTH + " S.OK", "S>R:NO_ERROR"),
    Wrong("P33", BOTH + " C.close C>D:ES S< S.OK S>T:OK", "S>R:NO_ERROR"),
    Wrong("ERR-D", BOTH + " S.OK S>T:OK", "S>R:CANCEL"),
    Wrong("P33", UP + " S<R:CANCEL", "S>R:CANCEL"),
    Wrong("P41", UP, "S>G-"),
    Wrong("DUP-9", "", "S>R:CANCEL"),
    Wrong("STAT-3", "S.refuse C.start C>H S<", "S>H"),
    Wrong("STAT-1", "S.refuse C.start C>H S<", "S>T:OK"),
]


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: f"{wrong.rule}: {wrong.script} ! {wrong.last}")
def test_what_must_not_be_framed(wrong: Wrong) -> None:
    before = play(wrong.script)
    with pytest.raises(ModelViolation) as raised:
        play(wrong.last, before)
    assert raised.value.rule == wrong.rule


@pytest.mark.parametrize(
    ("script", "step"),
    [
        ("C.start C.close", "C.send"),
        ("", "C.close"),
        ("", "C.send"),
        (UP + " S.headers", "S.headers"),
        (UP + " S.send", "S.headers"),
        (UP + " S.OK", "S.headers"),
        (UP + " S.OK", "S.send"),
        (UP + " S.OK", "S.OK"),
    ],
)
def test_what_an_engine_must_refuse(script: str, step: str) -> None:
    before = play(script)
    with pytest.raises(Misuse):
        play(step, before)


def test_every_rule_that_is_named_exists() -> None:
    root = Path(__file__).resolve().parents[2]
    documents = "".join((root / "docs" / name).read_text() for name in ("requirements.md", "scenarios.md"))
    defined = set(re.findall(r"\b[A-Z]+\d*-\d+\b", documents)) | {f"P{number}" for number in range(1, 51)}
    defined |= {f"ERR-{table}" for table in "ABCD"}
    named: set[str] = set()
    for path in (root / "src/duplexcore/testing/model").glob("*.py"):
        named |= set(re.findall(r"\b(?:[A-Z]+-(?:\d+|[A-D]\b)|P\d+)\b", path.read_text()))
    assert named - defined <= {"END-0"}, named - defined
    assert len(named) > 60
