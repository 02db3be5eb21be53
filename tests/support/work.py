"""Work, counted instead of timed."""

from __future__ import annotations

import gc
import sys
from typing import Any


def calls_made(action: Any) -> int:
    """How many functions of Python and of C are called."""
    count = 0

    def profile(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # a collection in the midst would be counted, with what Hypothesis does at each
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count
