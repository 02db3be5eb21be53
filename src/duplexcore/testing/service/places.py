"""Where in the user's own code a task waits, or an exception was raised."""

from __future__ import annotations

import asyncio
import linecache
import traceback
from pathlib import Path
from typing import Any

import anyio

import duplexcore
import duplexcore_anyio

__all__ = ["place_of_error", "place_of_task"]

#: Code below these folders is nobody's own.
LIBRARIES = tuple(str(Path(str(module.__file__)).parent) for module in (asyncio, anyio, duplexcore, duplexcore_anyio))


def place_of_task(task: asyncio.Task[Any]) -> str:
    """``waiting at chat.py:31: await member.send(text)``, or what else it does."""
    if task.done():
        return "cancelled" if task.cancelled() else "at its end"
    found = None
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = _first(waiting, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None and not frame.f_code.co_filename.startswith(LIBRARIES):
            found = frame
        waiting = next(
            (inner for name in ("cr_await", "gi_yieldfrom", "ag_await") if (inner := getattr(waiting, name, None))),
            None,
        )
    if found is None:
        return "waiting"
    file, line = found.f_code.co_filename, found.f_lineno
    return f"waiting at {Path(file).name}:{line}: {linecache.getline(file, line).strip()}"


def place_of_error(error: BaseException) -> str:
    """`` at chat.py:31``: the innermost line of the user's own; "" when there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(LIBRARIES):
            return f" at {Path(frame.filename).name}:{frame.lineno}: {frame.line}"
    return ""


def _first(thing: object, *names: str) -> Any:
    """The first of its attributes that it has, and that is something."""
    return next((found for name in names if (found := getattr(thing, name, None)) is not None), None)
