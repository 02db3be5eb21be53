"""The disagreement table: docs/peers.md is what docs/peers.json says; duplexcore does what its column says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import anyio
import pytest

from duplexcore.interop.peers.table import PEERS
from duplexcore.testing.misbehaving import CASES as CLIENT_CASES
from scripts.peer_table import document
from scripts.peer_table.clients import observe_client
from scripts.peer_table.observations import Breach, Cell, Half, Observations, Sight
from scripts.peer_table.servers import SERVER_CASES, observe_server

US = "duplexcore"
#: Nothing that our side does takes that long, on a busy machine neither. Seconds.
ANSWER, BOUND = 10.0, 120.0
NOWHERE = Path("no-folder-is-needed")


@pytest.fixture(scope="module")
def seen() -> Observations:
    return Observations.read()


def test_the_document_is_fresh(seen: Observations) -> None:
    text = document.DOCUMENT.read_text(encoding="utf-8")
    assert document.made(text, seen) == text, "run `python -m scripts.peers --document`"


def test_our_server_still_does_what_the_table_says(seen: Observations) -> None:
    cases = [case for case in seen.servers if case in SERVER_CASES]
    came = anyio.run(_within, partial(observe_server, PEERS[US], NOWHERE, cases, answer=ANSWER))
    assert _differences(seen.servers, came) == []


def test_our_client_still_does_what_the_table_says(seen: Observations) -> None:
    cases = [case for case in seen.clients if case in CLIENT_CASES]
    came = anyio.run(_within, partial(observe_client, PEERS[US], NOWHERE, cases, timeout=ANSWER))
    assert _differences(seen.clients, came) == []


async def _within(observe: Callable[[], Awaitable[Mapping[str, Sight]]]) -> Mapping[str, Sight]:
    with anyio.fail_after(BOUND):
        return await observe()


def _differences(half: Half, came: Mapping[str, Sight]) -> list[str]:
    return [
        f"{case}: {sight.came!r} {sight.breach}, and the table says {half[case][US]}"
        for case, sight in came.items()
        if sight.came not in half[case][US].came or sight.breach is not Breach.NONE
    ]


def test_what_differs_is_noticed(seen: Observations) -> None:
    case = next(iter(seen.servers))
    assert _differences(seen.servers, {case: Sight("something else")})
    same = next(iter(seen.servers[case][US].came))
    assert _differences(seen.servers, {case: Sight(same, Breach.MUST)})
    assert not _differences(seen.servers, {case: Sight(same)})


def test_no_rule_is_broken_by_us_and_nothing_of_ours_varies(seen: Observations) -> None:
    ours = [(case, cells[US]) for half in (seen.servers, seen.clients) for case, cells in half.items()]
    assert [case for case, cell in ours if cell.varies or cell.breach is not Breach.NONE] == []


def test_cells_tell_how_often_what_varies_came() -> None:
    cell = Cell()
    for sight in (Sight("OK"), Sight("closed", Breach.MUST), Sight("OK", Breach.SHOULD)):
        cell.add(sight)
    assert str(cell) == "OK (2 of 3), closed (1 of 3)"
    assert cell.breach is Breach.MUST


def test_what_is_written_is_what_is_read(seen: Observations, tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    seen.write(file)
    assert Observations.read(file) == seen


def test_rows_on_which_all_agree_are_one_line() -> None:
    fine, wrong = Cell(), Cell()
    fine.add(Sight("OK"))
    wrong.add(Sight("waits | long", Breach.MUST))
    rows: Half = {
        "http_400": {US: fine, "other": fine},
        "http_401": {US: fine, "other": wrong},
    }
    text = "<!-- peers: begin -->\n<!-- peers: end -->\n<!-- servers: begin -->\n<!-- servers: end -->\n"
    text += "<!-- clients: begin -->\nold\n<!-- clients: end -->\nrest\n"
    made = document.made(text, Observations("2026-01-31", {US: "1", "other": "2"}, {}, rows))
    assert "In 1 other case everybody does the same" in made
    assert "| ✗ waits \\| long |" in made
    assert "http_400" not in made
    assert "old" not in made
    assert made.endswith("rest\n")
    assert document.made(made, Observations("2026-01-31", {US: "1", "other": "2"}, {}, rows)) == made
