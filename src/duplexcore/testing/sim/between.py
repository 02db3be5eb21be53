"""What may stand between two sides: it passes their frames on in other frames that say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from .choosing import Chooser
from .wires import PADDED, PRIORITY, Frame

__all__ = ["Between"]

DATA, HEADERS, PRIORITY_FRAME, CONTINUATION, UNKNOWN = 0, 1, 2, 9, 0xBA
ES, END_HEADERS = 0x1, 0x4
#: Bytes of padding.
PADDING: Final = 7
#: What any side takes of a frame: bytes.
LONGEST: Final = 16_384
#: Depends on no stream, and weighs 16.
WEIGHT: Final = bytes((0, 0, 0, 0, 15))
#: ``:status`` 103, by which no table changes.
INTERIM: Final = b"\x08\x03103"
#: ``trailer: 1``, by which none changes either.
TRAILER: Final = b"\x00\x07trailer\x011"
#: Whether the end of a stream, alone in a frame of its own, goes on the frame before it.
JOINS: Final = ("apart", "joined")

Way = Callable[[Frame], Sequence[Frame]]


def _as_it_is(frame: Frame) -> Sequence[Frame]:
    return (frame,)


def _padded(frame: Frame) -> Sequence[Frame]:
    if len(frame.payload) + 1 + PADDING > LONGEST:
        return (frame,)
    payload = bytes((PADDING,)) + frame.payload + bytes(PADDING)
    return (frame._replace(flags=frame.flags | PADDED, payload=payload),)


def _behind_another(frame: Frame) -> Sequence[Frame]:
    return (Frame(UNKNOWN, 0xFF, frame.stream, b"an extension"), frame)


# -- header blocks ----------------------------------------------------------------------------------------------------


def _cut(frame: Frame, *places: int) -> Sequence[Frame]:
    """The block begins in HEADERS, and goes on in a CONTINUATION at each of these places."""
    block, ends = frame.payload, (*places, len(frame.payload))
    first = frame._replace(flags=frame.flags & ~END_HEADERS, payload=block[: places[0]])
    rest = [Frame(CONTINUATION, 0, frame.stream, block[at:end]) for at, end in zip(places, ends[1:], strict=True)]
    rest[-1] = rest[-1]._replace(flags=END_HEADERS)
    return (first, *rest)


def _in_two(frame: Frame) -> Sequence[Frame]:
    return _cut(frame, len(frame.payload) // 2)


def _in_four(frame: Frame) -> Sequence[Frame]:
    """The first fragment is empty."""
    third = len(frame.payload) // 3
    return _cut(frame, 0, third, 2 * third)


def _weighted(frame: Frame) -> Sequence[Frame]:
    return (frame._replace(flags=frame.flags | PRIORITY, payload=WEIGHT + frame.payload),)


def _weighted_before(frame: Frame) -> Sequence[Frame]:
    return (Frame(PRIORITY_FRAME, 0, frame.stream, WEIGHT), frame)


def _all_at_once(frame: Frame) -> Sequence[Frame]:
    first, rest = _in_two(frame)
    return (*_padded(*_weighted(first)), rest)


def _after_an_interim(frame: Frame) -> Sequence[Frame]:
    return (Frame(HEADERS, END_HEADERS, frame.stream, INTERIM), frame)


# -- others -----------------------------------------------------------------------------------------------------------


def _halved(frame: Frame) -> Sequence[Frame]:
    middle = len(frame.payload) // 2
    return (frame._replace(flags=0, payload=frame.payload[:middle]), frame._replace(payload=frame.payload[middle:]))


def _after_nothing(frame: Frame) -> Sequence[Frame]:
    return (frame._replace(flags=0, payload=b""), frame)


def _before_nothing(frame: Frame) -> Sequence[Frame]:
    return (frame._replace(flags=0), frame._replace(payload=b""))


def _before_trailers(frame: Frame) -> Sequence[Frame]:
    """The fields are nobody's business (HDR-16): they end the stream, as DATA would have."""
    if not frame.flags & ES:
        return (frame,)
    return (frame._replace(flags=frame.flags & ~ES), Frame(HEADERS, ES | END_HEADERS, frame.stream, TRAILER))


def _credit_in_two(frame: Frame) -> Sequence[Frame]:
    credit = int.from_bytes(frame.payload, "big")
    if credit < 2:
        return (frame,)
    return tuple(frame._replace(payload=part.to_bytes(4, "big")) for part in (credit // 2, credit - credit // 2))


HEADER_WAYS: Final[dict[str, Way]] = {
    "as it is": _as_it_is,
    "in two": _in_two,
    "in four": _in_four,
    "padded": _padded,
    "weighted": _weighted,
    "in two, padded and weighted": _all_at_once,
    "behind its weight": _weighted_before,
    "behind another": _behind_another,
}
ANSWER_WAYS: Final[dict[str, Way]] = HEADER_WAYS | {"after an interim": _after_an_interim}
DATA_WAYS: Final[dict[str, Way]] = {
    "as it is": _as_it_is,
    "halved": _halved,
    "after nothing": _after_nothing,
    "before nothing": _before_nothing,
    "behind another": _behind_another,
}
WITH_PADDING: Final[dict[str, Way]] = {"padded": _padded}
OF_REQUESTS: Final[dict[str, Way]] = {"before trailers": _before_trailers}
CREDIT_WAYS: Final[dict[str, Way]] = {"as it is": _as_it_is, "in two": _credit_in_two}


class Between:
    """Says by choice in which frames those of one direction go on: what RFC 9113 allows, and nothing else.

    ``answers``: the direction is the server's. ``pads``: DATA may be padded, which takes credit that its sender does
    not know of: only where it never comes near the end of a window.
    """

    __slots__ = ("_answered", "_answers", "_chooser", "_data")

    def __init__(self, chooser: Chooser, *, answers: bool, pads: bool) -> None:
        self._chooser = chooser
        self._answers = answers
        self._answered: set[int] = set()
        self._data = DATA_WAYS | (WITH_PADDING if pads else {}) | ({} if answers else OF_REQUESTS)

    def __call__(self, frames: Iterable[Frame]) -> Sequence[Frame]:
        """Frames of one write, as they go on."""
        passed: list[Frame] = []
        for frame in self._with_ends(list(frames)):
            ways = self._ways(frame)
            if ways is None:
                passed.append(frame)
                continue
            names = tuple(ways)
            passed += ways[names[self._chooser.choose(len(names), "between", names)]](frame)
        return passed

    def _with_ends(self, frames: list[Frame]) -> Iterator[Frame]:
        """The frames; by choice with the end of their stream, where that comes next and has nothing else to say."""
        ended: set[int] = set()
        for at, frame in enumerate(frames):
            if frame.type == DATA and frame.stream in ended:
                continue
            if _may_end(frame):
                then = next((later for later in frames[at + 1 :] if later.stream == frame.stream), None)
                if then and _only_ends(then) and self._chooser.choose(len(JOINS), "end of stream", JOINS):
                    ended.add(frame.stream)
                    yield frame._replace(flags=frame.flags | ES)
                    continue
            yield frame

    def _begins(self, frame: Frame) -> bool:
        """Whether an answer begins: not the first, whose block may have to begin with the size of a table."""
        answered, stream = self._answered, frame.stream
        begins = bool(answered) and stream not in answered
        answered.add(stream)
        return begins

    def _ways(self, frame: Frame) -> dict[str, Way] | None:
        match frame.type:
            case 0:
                return self._data
            case 1:
                return ANSWER_WAYS if self._answers and self._begins(frame) else HEADER_WAYS
            case 8:
                return CREDIT_WAYS
            case _:
                return None


def _may_end(frame: Frame) -> bool:
    return not frame.flags & ES and (frame.type == DATA or (frame.type == HEADERS and bool(frame.flags & END_HEADERS)))


def _only_ends(frame: Frame) -> bool:
    return frame.type == DATA and bool(frame.flags & ES) and not frame.payload
