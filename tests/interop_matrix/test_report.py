"""What the matrix writes: every cell and every reason is in it, and odd text breaks nothing."""

from __future__ import annotations

import json
import re

from duplexcore.interop.matrix import Cell
from duplexcore.interop.matrix_report import Report, html_page, json_text, markdown

ODD = "a | b </script> <!-- ☺"
CELLS = [
    Cell("one", "two", False, "ping_pong", "passed"),
    Cell("one", "two", False, "rpc_soak", "failed", ODD, known="COMP-11: it is wrong"),
    Cell("one", "two", True, "ping_pong", "skipped", "it has no pongs"),
    Cell("one", "two", True, "rpc_soak", "skipped", "it has no pongs"),
]
REPORT = Report(CELLS, ["one"], ["two"], ["ping_pong", "rpc_soak"], {"one": "one 1.0", "two": "two 2.0"}, "2026-01-02")


def test_markdown_has_a_table_for_each_link_and_each_reason_once() -> None:
    text = markdown(REPORT)
    assert "| one | 1✓ 1✗ |" in text
    assert "| one | 2– |" in text
    assert "1 passed, 1 failed, 2 skipped" in text
    assert "* a \\| b &lt;/script> &lt;!-- ☺. Known: COMP-11: it is wrong<br>`rpc_soak`: one → two (plain)" in text
    assert text.count("it has no pongs") == 1
    assert "* it has no pongs<br>`ping_pong`, `rpc_soak`: one → two (TLS)" in text


def test_json_gives_every_cell_back() -> None:
    assert [Cell(**cell) for cell in json.loads(json_text(REPORT))["cells"]] == CELLS


def test_the_page_stands_alone_and_its_data_end_where_they_end() -> None:
    page = html_page(REPORT)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1]) == json.loads(json_text(REPORT))
    assert re.search(r'(?:src|href)="(?!data:)', page) is None
    assert "{{" not in page
