"""docs/negative-cases.md says what the cases are."""

from __future__ import annotations

from scripts import negative_cases


def test_the_tables_are_fresh() -> None:
    text = negative_cases.DOCUMENT.read_text(encoding="utf-8")
    assert negative_cases.document(text) == text, "run `python scripts/negative_cases.py`"
