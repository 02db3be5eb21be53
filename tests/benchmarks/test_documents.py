"""From figures to tables, goals, a picture and the page: on made-up results, whose ratios are known."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.document import BEGIN, END, DocumentError, write
from benchmarks.goals import judge, lines
from benchmarks.plot import svg
from benchmarks.report import markdown, rows
from benchmarks.results import Cell, Results

OURS = "duplexcore-asyncio-native"


def timed(rate: float, cpu: float = 10.0) -> dict[str, float]:
    return {"rate": rate, "p50": 100.0, "p99": 250.0, "tail": 2.5, "server": cpu / 2, "client": cpu / 2, "cpu": cpu}


def made_up() -> Results:
    return Results(
        about={
            "when": "2026-01-02T03:04:05+00:00",
            "revision": "abc1234",
            "python": "CPython 3.11.7",
            "system": "Linux x86_64",
            "cores": 2,
            "load": 0.25,
            "seconds": 1.0,
            "operations": 0,
            "repetitions": 3,
        },
        libraries={OURS: "duplexcore 0.1.0", "grpc.aio": "grpcio 1.85.1"},
        lacking={"grpclib": "not <installed>"},
        cells=[
            Cell(OURS, OURS, "firehose", [timed(4000.0), timed(5000.0), timed(9000.0)]),
            Cell("grpc.aio", "grpc.aio", "firehose", [timed(100.0, cpu=450.0)]),
            Cell("grpc.aio", OURS, "firehose", [timed(200.0)]),
            Cell("grpclib", "grpclib", "firehose", [], ["grpclib client: it has ended"]),
            Cell(OURS, OURS, "unary-64", [timed(500.0)]),
            Cell("grpc.aio", "grpc.aio", "unary-64", [timed(100.0)]),
            Cell(OURS, OURS, "idle-1000", [{"server_memory": 7.0, "client_memory": 3.0}]),
        ],
        footprint={"duplexcore, the engine": {"import": 35.0, "import_low": 30.0, "import_high": 44.0, "size": 2.5}},
    )


def test_a_table_has_medians_their_range_and_ratios() -> None:
    headings, table = rows(made_up(), "firehose")
    assert headings[0] == "peer"
    assert headings[-2:] == ["× grpc.aio", "by CPU"]
    assert table[0] == [OURS, "5,000", "100", "250", "2.50", "5.00", "5.00", "4,000 to 9,000", "50.0", "45.0"]
    assert table[2][0] == f"{OURS} to grpc.aio"
    assert table[3][0] == "grpclib: failed"
    assert len({len(row) for row in [headings, *table]}) == 1


def test_goals_are_judged_by_what_was_measured() -> None:
    judged = {each.what: each for each in judge(made_up())}
    assert judged["firehose, native, beside grpc.aio"].value == 50
    assert judged["firehose, native, beside grpc.aio"].verdict == "met, and the aim"
    assert judged["firehose, native, beside grpc.aio"].by_cpu == 45
    assert judged["firehose, native, beside grpc.aio"].verdict_by_cpu == "met"
    assert judged["unary-64, native, p99 beside p50"].verdict_by_cpu == ""
    assert judged["unary-64, native, beside grpc.aio"].verdict == "not met"
    assert judged["idle-1000, native, server"].verdict == "not met"
    assert judged["idle-1000, native, client"].verdict == "met, and the aim"
    assert judged["import of duplexcore, the engine"].verdict == "met, and the aim"
    assert judged["firehose, native, beside grpclib"].verdict == "not measured"
    assert judged["unary-64, native, p99 beside p50"].value == 2.5
    assert all(len(line) == 7 for line in lines(judged.values()))


def test_markdown_has_each_table() -> None:
    text = markdown(made_up())
    assert "**unary-64: unary calls, 64 in flight on one connection (operations/s)**" in text
    assert "| duplexcore, the engine | 35.0 | 30.0 to 44.0 | 2.50 |" in text
    assert "* left out: grpclib: not <installed>" in text


def test_the_picture_has_a_bar_for_each_peer() -> None:
    root = ET.fromstring(svg(made_up()))
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count(OURS) == 2
    assert texts.count("grpc.aio") == 2
    assert "5,000" in texts
    bars = [float(bar.get("width", "0")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars == pytest.approx([bars[0], bars[0] / 5, bars[2], bars[2] / 50], rel=0.1)


def test_the_page_gets_its_figures_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    assert write(made_up(), page) == [page, tmp_path / "speed.svg", tmp_path / "speed.json"]
    text = page.read_text()
    assert text.startswith(f"# Before\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "old" not in text
    assert "2026-01-02, revision abc1234" in text
    assert "![rates of each peer](speed.svg)" in text
    assert "| met, and the aim |" in text
    assert Results.read(tmp_path / "speed.json") == made_up()
    write(made_up(), page)
    assert page.read_text() == text


def test_runs_are_joined_by_workload_and_the_page_says_which_is_from_where(tmp_path: Path) -> None:
    ours = [Cell(OURS, OURS, name, [timed(700.0)]) for name in ("unary-64", "idle-10000")]
    later = Results(about={**made_up().about, "revision": "def5678", "repetitions": 1}, cells=ours)
    joined = made_up().joined(later)
    assert joined.workloads() == ["firehose", "idle-1000", "unary-64", "idle-10000"]
    assert [cell.name for cell in joined.of("unary-64")] == [OURS]
    assert joined.footprint == made_up().footprint
    assert joined.joined(later).also == joined.also
    page = tmp_path / "speed.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    write(joined, page)
    assert "In a run of their own, unary-64, idle-10000: 2026-01-02, revision def5678, " in page.read_text()
    assert Results.read(tmp_path / "speed.json") == joined


def test_a_page_without_a_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "speed.md").write_text("# Before\n")
    with pytest.raises(DocumentError, match="needs the lines"):
        write(made_up(), tmp_path / "speed.md")
