"""Properties of one value, not of a run: P36, P45, P46 and P47, of codecs, and P30, of what answers a flood.

Each has `check`, which takes one case and raises `PropertyError`; `duplexcore.testing.strategies.CASES` draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from duplexcore import ConnectionClosed, ServerConfig, ServerConnection, StatusCode
from duplexcore.call.framing import MessageDecoder, frame_message, payloads
from duplexcore.call.timeout import decode_timeout, encode_timeout
from duplexcore.compression import OversizedMessageError, compression_named
from duplexcore.config import AbuseLimits
from duplexcore.metadata import InvalidMetadataError, Metadata, MetadataLike, decode_metadata, encode_metadata
from duplexcore.status import ErrorCode, Status, decode_message, encode_message, parse_status

from ... import raw
from .base import Claim

__all__ = ["FLOODS", "P30", "P36", "P45", "P46", "P47"]

UNITS = {b"n": 1, b"u": 10**3, b"m": 10**6, b"S": 10**9, b"M": 60 * 10**9, b"H": 3600 * 10**9}
#: What can be said: eight digits of hours.
MOST = 99_999_999 * 3600.0
#: How `-bin` values may come: as they are, padded, all those of a name in one field.
FORMS = ("plain", "padded", "joined")
#: Bytes that an engine may say for each byte that it hears, and on top of that.
FACTOR, BASE = 8, 4_096
#: Resets that a server puts up with, in the floods.
RESETS = 20


class P36(Claim):
    """decode(encode(d)) is at least d and less than one unit above it; the header has at most 8 digits and is positive;
    whatever header comes is a number of seconds or a ValueError."""

    number = "P36"

    @classmethod
    def check(cls, seconds: float, header: bytes) -> None:
        """``seconds``: 0 or more, or infinite. ``header``: any bytes."""
        said = encode_timeout(seconds)
        digits, unit = said[:-1], UNITS.get(said[-1:], 0)
        if not (digits.isdigit() and 1 <= len(digits) <= 8 and int(digits) > 0 and unit):
            cls.fail(f"{seconds!r} s is said as {said!r}")
        if decode_timeout(said) != int(digits) * unit / 10**9:
            cls.fail(f"{said!r} is read as {decode_timeout(said)!r} s")
        # A double has 53 bits: the unit is an exact number, its count of seconds need not be.
        if seconds <= MOST and not seconds <= decode_timeout(said) <= (seconds + unit / 10**9) * (1 + 1e-15):
            cls.fail(f"{seconds!r} s is said as {said!r}, {decode_timeout(said)!r} s")
        smaller = max((size for size in UNITS.values() if size < unit), default=0)
        if smaller and seconds * 10**9 < 99_999_998 * smaller:
            cls.fail(f"{seconds!r} s is said as {said!r}: a smaller unit has room for it")
        valid = 2 <= len(header) <= 9 and header[:-1].isdigit() and header[-1:] in UNITS
        expected = int(header[:-1]) * UNITS[header[-1:]] / 10**9 if valid else None
        try:
            read = decode_timeout(header)
        except ValueError:
            read = None
        if read != expected:
            cls.fail(f"{header!r} is read as {read} s, it says {expected}")


class P45(Claim):
    """Metadata comes back as an ordered multi-map, ``-bin`` padded, unpadded and joined by commas alike; what must not
    be sent is refused."""

    number = "P45"

    @classmethod
    def check(cls, pairs: MetadataLike, form: str) -> None:
        """``pairs`` may be sent; ``form``: one of `FORMS`."""
        asked = Metadata(pairs)
        back = decode_metadata(CHANGES[form](encode_metadata(pairs)))
        sent: dict[str, list[str | bytes]] = {}
        got: dict[str, list[str | bytes]] = {}
        for table, of in ((sent, asked), (got, back)):
            for name, value in of:
                table.setdefault(name, []).append(value)
        if got != sent:
            cls.fail(f"{pairs!r} came back as {back!r}, {form}")
        if form != "joined" and back != asked:
            cls.fail(f"{pairs!r} came back in another order: {back!r}")

    @classmethod
    def refuses(cls, pairs: MetadataLike) -> None:
        """One of ``pairs`` must not be sent."""
        try:
            fields = encode_metadata(pairs)
        except InvalidMetadataError:
            return
        cls.fail(f"{pairs!r} was taken, as {fields!r}")


def _padded(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value + b"=" * (-len(value) % 4) if name.endswith(b"-bin") else value) for name, value in fields]


def _joined(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The values of each ``-bin`` name in one field, as proxies may do (MD-6)."""
    names = dict.fromkeys(name for name, _ in fields if name.endswith(b"-bin"))
    joined = [(name, b",".join(value for other, value in fields if other == name)) for name in names]
    return [(name, value) for name, value in fields if name not in names] + joined


CHANGES: dict[str, Callable[[Sequence[tuple[bytes, bytes]]], Sequence[tuple[bytes, bytes]]]] = {
    "plain": lambda fields: fields,
    "padded": _padded,
    "joined": _joined,
}


class P46(Claim):
    """grpc-message brings back any Unicode text, in printable ASCII, and no received value makes decoding fail."""

    number = "P46"

    @classmethod
    def check(cls, status: Status, code: bytes, message: bytes) -> None:
        """``code`` and ``message``: any bytes, as a peer may send them."""
        said = encode_message(status.message)
        if not all(0x20 <= byte <= 0x7E for byte in said):
            cls.fail(f"{status.message!r} is said as {said!r}")
        if (back := parse_status([b"%d" % status.code], said)) != status:
            cls.fail(f"{status} came back as {back}")
        try:
            read, text = parse_status([code], message), decode_message(message)
        except Exception as error:  # noqa: BLE001 - that is the property
            cls.fail(f"{code!r}, {message!r} raises {error!r}")
        known = code.isdigit() and len(code) <= 9 and int(code) <= 16
        expected = StatusCode(int(code)) if known else StatusCode.UNKNOWN
        if read.code is not expected or (known and read.message != text):
            cls.fail(f"{code!r}, {message!r} is read as {read}")


class P47(Claim):
    """decompress(compress(m)) = m for each codec; flag 1 without an encoding is INTERNAL; no message above the limit is
    unpacked, or kept."""

    number = "P47"

    @classmethod
    def check(cls, message: bytes, name: str, limit: int) -> None:
        """``name``: of a codec that is here; ``limit``: for messages, in bytes."""
        codec = compression_named(name)
        packed = codec.compress(message)
        try:
            back: bytes | None = codec.decompress(packed, limit)
        except OversizedMessageError:
            back = None
        if back != (message if len(message) <= limit else None):
            cls.fail(f"{len(message)} bytes by {name}, limit {limit}: {'refused' if back is None else len(back)}")
        decoder = MessageDecoder(limit, (name,))
        decoder.encoding = name
        got = list(payloads(decoder.feed(frame_message(packed, compressed=True))))
        fits = len(message) <= limit and len(packed) <= limit
        code = None if decoder.fault is None else decoder.fault.code
        if (got, code) != (([message], None) if fits else ([], StatusCode.RESOURCE_EXHAUSTED)):
            cls.fail(f"{len(message)} bytes by {name}, limit {limit}: {len(got)} messages, {code}")
        plain = MessageDecoder(limit, (name,))
        if list(plain.feed(frame_message(packed, compressed=True))) or plain.fault is None:
            cls.fail("a compressed message without an encoding was taken")
        if plain.fault.code is not StatusCode.INTERNAL or plain.buffered:
            cls.fail(f"a compressed message without an encoding is {plain.fault}, and {plain.buffered} bytes are kept")


class P30(Claim):
    """Bytes that a peer causes are at most a constant times what it sent; reset floods end with ENHANCE_YOUR_CALM."""

    number = "P30"

    @classmethod
    def check(cls, flood: str, count: int) -> None:
        """``flood``: of `FLOODS`; ``count``: how often it is said."""
        server = ServerConnection(ServerConfig(abuse=AbuseLimits(peer_resets=RESETS)), now=0.0)
        peer = raw.RawPeer(client=True)
        heard = said = 0
        codes: list[int] = []
        closed = False
        for data in (peer.hello(), *(FLOODS[flood](peer, number) for number in range(count))):
            server.receive_data(data, 0.0)
            heard += len(data)
            while out := server.data_to_send(0.0):
                said += len(out)
                codes += [frame.code for frame in peer.read(out) if frame.type == raw.GOAWAY]
            while (event := server.next_event()) is not None:
                closed = closed or isinstance(event, ConnectionClosed)
        if said > FACTOR * heard + BASE:
            cls.fail(f"{said:,} bytes were said to {heard:,} of {flood}")
        if "reset" in flood and closed is not (count > RESETS):
            cls.fail(f"after {count} times {flood} the connection is {'over' if closed else 'there'}")
        if closed and codes != [ErrorCode.ENHANCE_YOUR_CALM]:
            cls.fail(f"{flood} is answered with GOAWAY {codes}")


def _reset(peer: raw.RawPeer, number: int) -> bytes:
    stream = 2 * number + 1
    return peer.request(stream, "/flood.Calls/Any") + raw.rst(stream)


def _own_fault(peer: raw.RawPeer, number: int) -> bytes:
    """A stream that the server has to reset itself: a window increment of 0 (MadeYouReset)."""
    stream = 2 * number + 1
    return peer.request(stream, "/flood.Calls/Any") + raw.window_update(stream, 0)


FLOODS: dict[str, Callable[[raw.RawPeer, int], bytes]] = {
    "resets": _reset,
    "PING": lambda _peer, _number: raw.ping(),
    "SETTINGS": lambda _peer, _number: raw.settings(),
    "credit": lambda _peer, _number: raw.window_update(0, 1),
    "requests": lambda peer, number: peer.request(2 * number + 1, "/flood.Calls/Any"),
    "empty DATA": lambda peer, number: raw.data(1, b"") if number else peer.request(1, "/flood.Calls/Any"),
    "wrong increments": _own_fault,
}
