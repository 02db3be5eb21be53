"""A digest of an object's state: equal states give equal digests, in any process and however they came about."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

__all__ = ["fingerprint"]


def fingerprint(root: object) -> bytes:
    """16 bytes. Containers count in their order, sets sorted, objects by class and attributes; functions by name.

    An object may give a canonical state of its own as ``fingerprint_state()``.
    """
    import hashlib  # noqa: PLC0415 - few ask for a digest, and it loads OpenSSL

    digest = hashlib.blake2b(digest_size=16)
    seen: dict[int, int] = {}
    _walk(root, digest.update, seen, keep=[])
    return digest.digest()


def _walk(value: object, put: Callable[[bytes], object], seen: dict[int, int], keep: list[object]) -> None:
    if isinstance(value, Enum):  # by name: a value may be a set, which has another order in each process
        put(f"{type(value).__name__}.{value.name};".encode())
        return
    if value is None or isinstance(value, (int, float, str)):
        put(f"{type(value).__name__}:{value!r};".encode("utf-8", "surrogatepass"))
        return
    if isinstance(value, (bytes, bytearray, memoryview)):
        put(b"bytes:%d:" % len(value) + bytes(value))
        return
    if id(value) in seen:
        put(b"again:%d;" % seen[id(value)])
        return
    if type(value).__hash__ in (None, object.__hash__):  # else it is a value: equal ones may or may not be one object
        seen[id(value)] = len(seen)
        keep.append(value)
    put(f"{type(value).__name__}(".encode())
    for part in _parts(value):
        _walk(part, put, seen, keep)
    put(b")")


def _parts(value: Any) -> Iterable[object]:
    if canonical := getattr(value, "fingerprint_state", None):
        return [canonical()]
    if isinstance(value, Mapping):
        return [part for item in value.items() for part in item]
    if isinstance(value, (list, tuple, deque)):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if callable(value):
        return [getattr(value, "__qualname__", type(value).__qualname__)]
    if isinstance(value, range):
        return [value.start, value.stop, value.step]
    return _attributes(value)


def _attributes(value: object) -> list[object]:
    state = value.__getstate__()
    if isinstance(state, list):  # of a frozen dataclass with slots: its fields in their order
        return state
    parts = state if isinstance(state, tuple) else (state,)
    merged = {name: item for part in parts if isinstance(part, dict) for name, item in part.items()}
    return [part for name in sorted(merged) for part in (name, merged[name])]
