"""Faults planted in the engine, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from duplexcore import CallEnded, Origin
from duplexcore.call.base import Call


@contextmanager
def overtaken() -> Iterator[None]:
    """A status of the peer overtakes the last message that nobody has read."""
    end = Call._end

    def forget(call: Call, ended: CallEnded) -> None:
        inbox: Any = call._inbox
        if inbox.waiting and ended.origin is Origin.PEER and call.ended is None:
            kept = inbox.waiting[:-1]
            inbox._first = inbox._rest = None
            for item in kept:
                inbox._append(item)
        end(call, ended)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "_end", forget)
        yield
