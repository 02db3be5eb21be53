"""SETTINGS: what we announce, and what the peer does, judged (RFC 9113 section 6.5)."""

from __future__ import annotations

from typing import Final

from ..config import Config, ServerConfig
from ..status import ErrorCode
from .faults import ConnectionFault
from .frames import MAX_ID, SettingId

__all__: list[str] = []

#: The dynamic table of either direction as long as no SETTINGS say otherwise: bytes.
INITIAL_TABLE_SIZE: Final = 4096
#: The window of a stream, and of a connection, before any SETTINGS or WINDOW_UPDATE: bytes.
INITIAL_WINDOW: Final = 65_535
#: The longest payload of a frame before any SETTINGS: bytes.
INITIAL_FRAME_SIZE: Final = 16_384

#: Setting -> (the values that it may have, and what any other one is).
_RANGES: Final[dict[int, tuple[range, ErrorCode]]] = {
    SettingId.ENABLE_PUSH: (range(2), ErrorCode.PROTOCOL_ERROR),
    SettingId.INITIAL_WINDOW_SIZE: (range(MAX_ID + 1), ErrorCode.FLOW_CONTROL_ERROR),
    SettingId.MAX_FRAME_SIZE: (range(INITIAL_FRAME_SIZE, 2**24), ErrorCode.PROTOCOL_ERROR),
}
_KNOWN: Final = frozenset(int(known) for known in SettingId)


def own_settings(config: Config) -> dict[int, int]:
    """What the first SETTINGS frame says."""
    settings = {
        SettingId.ENABLE_PUSH: 0,
        SettingId.INITIAL_WINDOW_SIZE: config.stream_window,
        SettingId.MAX_FRAME_SIZE: config.max_frame_size,
        SettingId.MAX_HEADER_LIST_SIZE: config.hard_header_list_size,
    }
    if isinstance(config, ServerConfig):
        del settings[SettingId.ENABLE_PUSH]
        settings[SettingId.MAX_CONCURRENT_STREAMS] = config.max_concurrent_calls
    if config.header_table_size != INITIAL_TABLE_SIZE:
        settings[SettingId.HEADER_TABLE_SIZE] = config.header_table_size
    return {int(key): value for key, value in settings.items()}


def read_settings(payload: bytes, *, client: bool) -> dict[int, int]:
    """The peer's SETTINGS: known ids, the last value of each. Raises `ConnectionFault` for a value that can not be."""
    values: dict[int, int] = {}
    for at in range(0, len(payload), 6):
        key = int.from_bytes(payload[at : at + 2], "big")
        if key in _KNOWN:
            values[key] = int.from_bytes(payload[at + 2 : at + 6], "big")
    for key, value in values.items():
        if key not in _RANGES:
            continue
        legal, code = _RANGES[key]
        if value not in legal or (client and key == SettingId.ENABLE_PUSH and value):
            raise ConnectionFault(code, f"SETTINGS_{SettingId(key).name} is {value}")
    return values
