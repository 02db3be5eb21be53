"""``grpc-timeout``: at most eight digits and a unit (PROTOCOL-HTTP2 "Timeout", DEAD-1, DEAD-3, DEAD-4)."""

from __future__ import annotations

import math
import re

__all__ = ["decode_timeout", "encode_timeout"]

_NANOSECONDS = {"n": 1, "u": 10**3, "m": 10**6, "S": 10**9, "M": 60 * 10**9, "H": 3600 * 10**9}
_MOST = 10**8 - 1
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")


def encode_timeout(seconds: float) -> bytes:
    """The smallest unit whose value fits eight digits, rounded up; at least 1 n, at most 99999999 H."""
    if seconds >= _MOST * 3600:
        return b"99999999H"
    nanoseconds = max(1, math.ceil(seconds * 10**9))
    for unit, size in _NANOSECONDS.items():
        count = -(-nanoseconds // size)
        if count * size / 10**9 < seconds:  # the product was rounded down
            count += 1
        if count <= _MOST:
            return b"%d%s" % (count, unit.encode())
    return b"99999999H"


def decode_timeout(value: bytes) -> float:
    """Seconds. Raises ValueError for anything but the form that the specification gives."""
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise ValueError(f"grpc-timeout {value.decode('latin-1')!r} is not 1 to 8 digits and one of H, M, S, m, u, n")
    return int(match[1]) * _NANOSECONDS[match[2].decode()] / 10**9
