"""The table of cases, and the decorator that enters one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from duplexcore.testing.probe.answers import Answer
from duplexcore.testing.probe.model import Case, Level, Need, Script

CASES: dict[str, Case] = {}


def case(
    id: str,  # noqa: A002
    title: str,
    *,
    by: str,
    allowed: Iterable[Answer],
    tolerated: Iterable[Answer] = (),
    level: Level = Level.MUST,
    needs: Need | tuple[Need, ...] = (),
    survives: bool = True,
    hello: bool = True,
) -> Callable[[Script], Script]:
    """Enters the script below; see `Case`."""

    def enter(script: Script) -> Script:
        add(id, title, script, by, allowed, tolerated, level, needs, survives=survives, hello=hello)
        return script

    return enter


def add(
    id: str,  # noqa: A002
    title: str,
    script: Script,
    by: str,
    allowed: Iterable[Answer],
    tolerated: Iterable[Answer] = (),
    level: Level = Level.MUST,
    needs: Need | tuple[Need, ...] = (),
    *,
    survives: bool = True,
    hello: bool = True,
) -> None:
    """Enters a case of several that differ in one value only."""
    assert id not in CASES, id
    needed = (needs,) if isinstance(needs, Need) else needs
    CASES[id] = Case(id, title, by, level, tuple(allowed), tuple(tolerated), needed, survives, hello, script)
