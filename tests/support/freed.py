"""Calls that the garbage collector does not have to free."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from duplexcore import ClientCall, ServerCall
from duplexcore.http2.lane import Http2Lane
from duplexcore_anyio.core import CallCore

__all__ = ["without_collecting"]

KINDS = (ClientCall, ServerCall, Http2Lane, CallCore)


@contextmanager
def without_collecting() -> Iterator[Callable[[], list[str]]]:
    """What the garbage collector would have to find: the calls that were made inside and are there still, with what
    belongs to them, by the names of their classes."""
    gc.collect()
    gc.disable()
    before = {id(each) for each in _alive()}
    try:
        yield lambda: [type(each).__name__ for each in _alive() if id(each) not in before]
    finally:
        gc.enable()


def _alive() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, KINDS)]
