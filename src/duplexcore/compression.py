"""Codings of messages (gRPC doc "compression", COMP-1 to COMP-6): gzip, deflate, zstd where it is installed, others.

The unit is one message, its context always a fresh one. What is unpacked never grows beyond a limit: the work stops
there, however much more the message claims to hold.
"""

from __future__ import annotations

import zlib
from typing import Any, Final, Protocol

__all__ = ["Compression", "CompressionError", "OversizedMessageError", "compression_named", "register_compression"]


class CompressionError(ValueError):
    """The bytes are not what the coding makes: corrupt, cut off, or with something behind them (COMP-5)."""


class OversizedMessageError(ValueError):
    """The message is larger than the limit; no more of it was unpacked (COMP-6)."""


class Compression(Protocol):
    """A coding of messages. Its methods keep no state: the same bytes give the same result."""

    @property
    def name(self) -> str:
        """As it stands in ``grpc-encoding``."""
        ...

    def compress(self, data: bytes) -> bytes:
        """The whole message, packed."""
        ...

    def decompress(self, data: bytes, limit: int) -> bytes:
        """The whole message, unpacked. Raises `CompressionError`, `OversizedMessageError` above ``limit`` bytes."""
        ...


class Zlib:
    """gzip (RFC 1952), of one or more members, or deflate, which is the zlib format (RFC 1950)."""

    def __init__(self, name: str, window_bits: int) -> None:
        self.name = name
        self._window_bits = window_bits

    def compress(self, data: bytes) -> bytes:
        packer = zlib.compressobj(wbits=self._window_bits)
        return packer.compress(data) + packer.flush()

    def decompress(self, data: bytes, limit: int) -> bytes:
        parts: list[bytes] = []
        left = limit + 1
        while True:
            unpacker = zlib.decompressobj(wbits=self._window_bits)
            try:
                parts.append(unpacker.decompress(data, left))
            except zlib.error as error:
                raise CompressionError(str(error)) from None
            left -= len(parts[-1])
            if left <= 0:
                raise OversizedMessageError(f"unpacked, a message is above the limit of {limit} bytes")
            if not unpacker.eof:
                raise CompressionError("the data is cut off")
            data = unpacker.unused_data
            if not data:
                return b"".join(parts)
            if self.name != "gzip":
                raise CompressionError("something follows the data")


class Zstd:
    """zstd (RFC 8878) by Python's own module: from 3.14 on, before that as ``backports.zstd``."""

    name = "zstd"

    def __init__(self, module: Any) -> None:
        self._zstd = module

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return compression_named, (self.name,)

    def compress(self, data: bytes) -> bytes:
        return bytes(self._zstd.compress(data))

    def decompress(self, data: bytes, limit: int) -> bytes:
        unpacker = self._zstd.ZstdDecompressor()
        try:
            unpacked = bytes(unpacker.decompress(data, max_length=limit + 1))
        except self._zstd.ZstdError as error:
            raise CompressionError(str(error)) from None
        return _whole(unpacked, limit, ended=unpacker.eof, rest=unpacker.unused_data)


class Zstandard(Zstd):
    """zstd by the package ``zstandard``."""

    def compress(self, data: bytes) -> bytes:
        return bytes(self._zstd.ZstdCompressor().compress(data))

    def decompress(self, data: bytes, limit: int) -> bytes:
        try:
            # This reader bounds what it makes, but does not tell an end from a cut: the other one does, and may be
            # asked once it is known that all of it is within the limit.
            unpacked = bytes(self._zstd.ZstdDecompressor().stream_reader(data).read(limit + 1))
            judge = self._zstd.ZstdDecompressor().decompressobj()
            if len(unpacked) <= limit:
                judge.decompress(data)
        except self._zstd.ZstdError as error:
            raise CompressionError(str(error)) from None
        return _whole(unpacked, limit, ended=judge.eof, rest=judge.unused_data)


def _whole(unpacked: bytes, limit: int, *, ended: bool, rest: bytes) -> bytes:
    if len(unpacked) > limit:
        raise OversizedMessageError(f"unpacked, a message is above the limit of {limit} bytes")
    if not ended or rest:
        raise CompressionError("something follows the data" if ended else "the data is cut off")
    return unpacked


def _installed_zstd() -> Compression | None:
    """zstd from where it can be had: the best first. Nothing of it is loaded before somebody asks."""
    # ruff: noqa: PLC0415
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]

        return Zstd(zstd)
    except ImportError:
        pass
    try:
        from backports import zstd  # type: ignore[import-not-found,no-redef,unused-ignore]

        return Zstd(zstd)
    except ImportError:
        pass
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]

        return Zstandard(zstandard)
    except ImportError:
        return None


_REGISTERED: Final[dict[str, Compression]] = {"gzip": Zlib("gzip", 31), "deflate": Zlib("deflate", 15)}


def register_compression(compression: Compression) -> None:
    """Makes a coding known to this process, for a configuration's ``compressions``. Raises ValueError for a name that
    can not stand in a header, or that has another meaning."""
    name = compression.name
    if name == "identity" or not name.isascii() or not name.replace("-", "").isalnum() or name != name.lower():
        raise ValueError(f"{name!r} can not name a coding: use a-z, 0-9 and '-', and not 'identity'")
    _REGISTERED[name] = compression


def compression_named(name: str) -> Compression:
    """The coding of that name. Raises ValueError that says what to install or register."""
    if name == "zstd" and name not in _REGISTERED and (zstd := _installed_zstd()) is not None:
        _REGISTERED[name] = zstd
    if name not in _REGISTERED:
        hint = "install 'duplexcore[zstd]', or use Python 3.14" if name == "zstd" else "see register_compression"
        raise ValueError(f"no coding {name!r} is known here ({', '.join(sorted(_REGISTERED))}): {hint}")
    return _REGISTERED[name]
