"""Messages of any protobuf descriptor, drawn from a source of choices: a chooser, or Hypothesis.

The first option of each choice is the dullest, so that the plain message is the empty one, or of proto2 the one with
its required fields alone. What is drawn is always what a server has to take: text is UTF-8, required fields are there,
at most one field of each oneof is set. Extensions of proto2 and message sets are left out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from google.protobuf import message_factory

from ..sim.choosing import Chooser

__all__ = ["DEPTH", "ChooserSource", "Source", "draw", "fill"]

T = TypeVar("T")

#: Messages within messages, at most so deep.
DEPTH = 4
#: Elements of a repeated field or a map, at most.
SIZE = 4
#: Fields of one message and of all in it, at most; required ones are not counted.
FIELDS = 80

#: Types of fields, by their number in FieldDescriptor.
_DOUBLE, _FLOAT, _BOOL, _STRING, _GROUP, _MESSAGE, _BYTES, _ENUM = 1, 2, 8, 9, 10, 11, 12, 14
#: Of each type of integers: least and most.
INTEGERS: Final[dict[int, tuple[int, int]]] = {
    **dict.fromkeys((5, 15, 17), (-(2**31), 2**31 - 1)),  # int32, sfixed32, sint32
    **dict.fromkeys((3, 16, 18), (-(2**63), 2**63 - 1)),
    **dict.fromkeys((7, 13), (0, 2**32 - 1)),
    **dict.fromkeys((4, 6), (0, 2**64 - 1)),
}
OPEN_ENUM = (-(2**31), 2**31 - 1)
#: Where varints grow by a byte, and where narrower types end.
EDGES: Final = (0, 1, -1, 127, 128, 2**14, 2**31 - 1, -(2**31), 2**32 - 1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)
DOUBLES: Final = (0.0, 1.0, -0.0, 0.1, math.inf, -math.inf, math.nan, 5e-324, 2.0**53 + 2, 1.7976931348623157e308)
FLOATS: Final = (0.0, 1.0, -0.0, 0.5, math.inf, -math.inf, math.nan, 2.0**-149, 2.0**24, 3.4028234663852886e38)
TEXTS: Final = ("", "a", "\0", "é", "日本語", "🦆", "\r\n", "a" * 128, "é" * 8_192)
OCTETS: Final = (b"", b"a", b"\0", b"\xff" * 3, b"\x80" * 128, bytes(16_385))
#: Well-known types whose fields belong together: what they may hold. Any other content comes up as well.
EXAMPLES: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "google.protobuf.Timestamp": (
        {},
        {"seconds": 1_700_000_000, "nanos": 999_999_999},
        {"seconds": -62_135_596_800},
        {"seconds": 253_402_300_799, "nanos": 999_999_999},
    ),
    "google.protobuf.Duration": (
        {},
        {"seconds": 1, "nanos": 1},
        {"seconds": -1, "nanos": -999_999_999},
        {"seconds": 315_576_000_000},
        {"seconds": -315_576_000_000},
    ),
    "google.protobuf.Any": (
        {},
        {"type_url": "type.googleapis.com/google.protobuf.Duration", "value": b"\x08\x01"},
        {"type_url": "type.googleapis.com/google.protobuf.Any"},
        {"type_url": "type.googleapis.com/no.such.Type", "value": b"\xff"},
        {"type_url": "no slash", "value": b"x"},
    ),
    "google.protobuf.FieldMask": ({}, {"paths": ["a"]}, {"paths": ["a.b", "a", ""]}),
}

#: Labels of fields: their numbers, and what newer runtimes of protobuf ask instead.
REQUIRED, REPEATED = (2, "is_required"), (3, "is_repeated")
#: What a message holds.
NOTHING, AS_MEANT, SOME, ALL = "nothing", "as it is meant", "some fields", "all fields"
#: Field numbers that nobody may use, and the last.
RESERVED, LAST_FIELD = range(19_000, 20_000), 2**29 - 1


class Source(Protocol):
    """Where content comes from."""

    def pick(self, what: str, options: Sequence[T]) -> T:
        """One of some options, the dullest first."""
        ...

    def number(self, least: int, most: int) -> int: ...

    def floating(self, edges: Sequence[float], width: int) -> float:
        """A floating-point number of 32 or 64 bits; ``edges`` are some that matter."""
        ...

    def text(self) -> str: ...

    def octets(self) -> bytes: ...


class ChooserSource:
    """Content by a chooser's choices. ``largest``: no number above it in amount, for services that do what they are
    asked as often as they are told."""

    def __init__(self, chooser: Chooser, largest: int | None = None) -> None:
        self._chooser = chooser
        self._largest = largest

    def pick(self, what: str, options: Sequence[T]) -> T:
        if len(options) == 1:
            return options[0]
        return options[self._chooser.choose(len(options), what, [_short(one) for one in options])]

    def number(self, least: int, most: int) -> int:
        if self._largest is not None:
            least, most = max(least, -self._largest), min(most, self._largest)
        return self.pick("number", [*(edge for edge in EDGES if least <= edge <= most), least, most])

    def floating(self, edges: Sequence[float], width: int) -> float:
        largest = math.inf if self._largest is None else self._largest
        return self.pick("number", [edge for edge in edges if self._largest is None or abs(edge) <= largest])

    def text(self) -> str:
        return self.pick("text", TEXTS)

    def octets(self) -> bytes:
        return self.pick("bytes", OCTETS)


def draw(descriptor: Any, source: Source, *, depth: int = DEPTH) -> Any:
    """A message of a descriptor, a `google.protobuf.descriptor.Descriptor`; see `fill`."""
    message = message_factory.GetMessageClass(descriptor)()
    fill(message, source, depth=depth)
    return message


def fill(message: Any, source: Source, *, depth: int = DEPTH) -> None:
    """Draws the content of an empty message: every kind of field, absent and at its edges; at most one field of each
    oneof; maps; enums, also with values that they do not name; messages within messages, ``depth`` deep at most;
    well-known types as they are meant and otherwise; fields that the descriptor does not know."""
    _Filling(source).fill(message, depth)


class _Filling:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = FIELDS

    def fill(self, message: Any, depth: int) -> None:
        descriptor, pick = message.DESCRIPTOR, self._source.pick
        for field in descriptor.fields:
            if _is_labelled(field, REQUIRED):
                self._set(message, field, depth)
        examples = EXAMPLES.get(descriptor.full_name)
        contents = [NOTHING, *([AS_MEANT] if examples else []), SOME, ALL]
        content = NOTHING if depth < 0 or self._left <= 0 else pick("content", contents)
        if content == AS_MEANT and examples is not None:
            _take(message, examples[pick("example", range(len(examples)))])
        elif content != NOTHING:
            for field in self._wanted(descriptor, depth, everything=content == ALL):
                if self._left > 0:
                    self._left -= 1
                    self._set(message, field, depth)
            if pick("unknown field", (False, True)):
                self._unknown(message)

    def _wanted(self, descriptor: Any, depth: int, *, everything: bool) -> list[Any]:
        """Optional fields to be set; of those in one oneof the last one stays."""
        fields = [
            field
            for field in descriptor.fields
            if not _is_labelled(field, REQUIRED) and (depth > 0 or not _is_message(field))
        ]
        if everything or not fields:
            return fields
        pick, names = self._source.pick, [field.name for field in fields]
        return [fields[names.index(pick("field", names))] for _ in range(pick("fields", (1, 2, 3, 5)))]

    # --- values -------------------------------------------------------------------------------------------------------

    def _set(self, message: Any, field: Any, depth: int) -> None:
        place = getattr(message, field.name)
        if _is_map(field):
            self._set_map(place, field, depth)
        elif _is_labelled(field, REPEATED):
            for _ in range(self._count()):
                if _is_message(field):
                    self.fill(place.add(), depth - 1)
                else:
                    place.append(self._value(field))
        elif _is_message(field):
            if field.containing_oneof is not None:
                message.ClearField(field.name)
                place = getattr(message, field.name)
            place.SetInParent()
            self.fill(place, depth - 1)
        else:
            setattr(message, field.name, self._value(field))

    def _set_map(self, place: Any, field: Any, depth: int) -> None:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        for _ in range(self._count()):
            at = self._value(key)
            if not _is_message(value):
                place[at] = self._value(value)
            elif at not in place:
                self.fill(place[at], depth - 2)

    def _count(self) -> int:
        count = self._source.pick("elements", (1, 0, 2, SIZE))
        self._left -= count
        return count

    def _value(self, field: Any) -> Any:
        source = self._source
        match field.type:
            case int(kind) if kind in INTEGERS:
                return source.number(*INTEGERS[kind])
            case 1:
                return source.floating(DOUBLES, 64)
            case 2:
                return source.floating(FLOATS, 32)
            case 8:
                return source.pick(field.name, (False, True))
            case 9:
                return source.text()
            case 12:
                return source.octets()
            case _:
                return self._enum(field.enum_type)

    def _enum(self, enum: Any) -> int:
        named: list[int] = [value.number for value in enum.values]
        if _is_closed(enum):
            return self._source.pick(enum.name, named)
        return self._source.pick(enum.name, [*named, *({*OPEN_ENUM, max(named) + 1} - {*named})])

    # --- what the descriptor does not know ----------------------------------------------------------------------------

    def _unknown(self, message: Any) -> None:
        """A field of another version of the message, or a value that a closed enum does not name: kept, not shown."""
        fields = message.DESCRIPTOR.fields
        choices: list[tuple[str, bytes]] = []
        free = _free_number(message.DESCRIPTOR)
        for number in (free, LAST_FIELD):
            if number not in message.DESCRIPTOR.fields_by_number:
                choices += [(f"field {number}", _tag(number, wire) + content) for wire, content in UNKNOWN]
        for field in fields:
            if field.type == _ENUM and _is_closed(field.enum_type):
                beyond = max(value.number for value in field.enum_type.values) + 1
                choices.append((f"{field.name} {beyond}", _tag(field.number, 0) + _varint(beyond)))
        if choices:
            _, wire = self._source.pick("unknown field", choices)
            message.MergeFromString(wire)


#: By wire type, something that it may hold: varint, 64 bits, bytes, a group of nothing, 32 bits.
UNKNOWN: Final = (
    (0, b"\x01"),
    (0, b"\xff" * 9 + b"\x01"),
    (1, struct.pack("<d", 1.5)),
    (2, b"\x03abc"),
    (2, b"\x00"),
    (5, struct.pack("<f", 1.5)),
)


def _free_number(descriptor: Any) -> int:
    number = 1
    while number in descriptor.fields_by_number or number in RESERVED:
        number += 1
    return number


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _take(message: Any, content: dict[str, Any]) -> None:
    for name, value in content.items():
        if isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)


def _short(one: object) -> object:
    """For tapes that people read."""
    text: Callable[[], str] = lambda: str(one[0] if isinstance(one, tuple) else one)  # noqa: E731
    return one if isinstance(one, bool | int | float) else text()[:40]


def _is_closed(enum: Any) -> bool:
    return bool(getattr(enum, "is_closed", True))


def _is_labelled(field: Any, label: tuple[int, str]) -> bool:
    number, name = label
    found = getattr(field, name, None)
    return bool(field.label == number if found is None else found)


def _is_message(field: Any) -> bool:
    return field.type in (_MESSAGE, _GROUP)


def _is_map(field: Any) -> bool:
    return _is_message(field) and bool(field.message_type.GetOptions().map_entry)
