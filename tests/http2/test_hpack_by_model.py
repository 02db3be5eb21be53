"""Header blocks, against the package hpack and an encoder of a few lines without any memory of results (RFC 7541)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, Limit, ServerConfig
from duplexcore.config import AbuseLimits
from duplexcore.http2.faults import ConnectionFault
from duplexcore.http2.header_decoder import HeaderDecoder, size_updates
from duplexcore.http2.header_encoder import FieldEncoder
from duplexcore.http2.header_rules import HeaderList
from duplexcore.metadata import Field, FieldList
from duplexcore.status import ErrorCode

STATIC: tuple[Field, ...] = tuple(HeaderTable.STATIC_TABLE)
NAMES = (b"x", b"grpc-timeout", b"te", b"authorization", b"accept", b"secret", b":path", b"long-" + b"n" * 130)
VALUES = (b"", b"v", b"100m", b"trailers", b"w" * 126, b"w" * 127, b"w" * 128, b"w" * 300, b"\xff\x00", b"/p.S/M")


def integer(value: int, bits: int, head: int) -> bytes:
    """RFC 7541, 5.1."""
    most = 2**bits - 1
    if value < most:
        return bytes((head + value,))
    value, tail = value - most, b""
    while value > 127:
        value, tail = value // 128, tail + bytes((128 + value % 128,))
    return bytes((head + most,)) + tail + bytes((value,))


def text(value: bytes) -> bytes:
    return integer(len(value), 7, 0) + value


HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def huffman(value: bytes) -> bytes:
    """As most peers write it (RFC 7541, 5.2)."""
    coded = HUFFMAN.encode(value)
    return integer(len(coded), 7, 0x80) + coded


# -- what comes --------------------------------------------------------------------------------------------------------


#: Indices of what is there, and of what may be or may not.
THERE, PERHAPS = (1, 2, 8, 14, 15, 16, 28, 61, 62, 62, 63, 64), (70, 126, 127, 128, 190, 254, 255, 260, 0)
KINDS = ("index", "index", "index", "plain", "never", "insert")


@st.composite
def representations(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> tuple[bytes, bool, bool]:
    """One field as bytes, whether it leaves the table as it is and is short, and whether it is an index alone."""
    kind = draw(st.sampled_from(kinds))
    index = draw(st.sampled_from(THERE if draw(st.integers(0, 11)) else PERHAPS))
    if kind == "index":
        return integer(index, 7, 0x80), 0 < index < 255, True
    bits, head = {"plain": (4, 0), "never": (4, 0x10), "insert": (6, 0x40)}[kind]
    write: Callable[[bytes], bytes] = draw(st.sampled_from((text, text, huffman)))
    value = write(draw(st.sampled_from(VALUES)))
    simple = kind != "insert" and value[0] & 0x7F < 0x7F
    if index and draw(st.integers(0, 3)):
        return integer(index, bits, head) + value, simple and index < 15 + 128, False
    name = write(draw(st.sampled_from(NAMES)))
    return bytes((head,)) + name + value, simple and name[0] & 0x7F < 0x7F, False


@st.composite
def blocks(draw: st.DrawFn) -> tuple[bytes, bool | None, bool]:
    """The same of a whole block; None: it is cut."""
    kinds = draw(st.sampled_from((KINDS, KINDS[:3], KINDS[:5], KINDS[2:5])))
    parts = draw(st.lists(representations(kinds), max_size=6))
    block = b"".join(part for part, _, _ in parts)
    if draw(st.integers(0, 9)) == 0:
        return block[: len(block) - draw(st.integers(1, 3))], None, False
    updates = [
        integer(draw(st.sampled_from((0, 30, 31, 60, 4_096))), 5, 0x20)
        for _ in range(draw(st.sampled_from((0, 0, 0, 0, 0, 0, 0, 1, 2))))
    ]
    simple = not updates and all(simple for _, simple, _ in parts)
    return b"".join(updates) + block, simple, simple and all(index for _, _, index in parts)


class Asked(hpack.Decoder):
    """Counts the blocks that it decodes."""

    blocks = 0

    def decode(self, data: bytes, raw: bool = False) -> object:  # type: ignore[override]
        self.blocks += 1
        return super().decode(data, raw)


def outcome(decode: Callable[[], object]) -> object:
    """The fields, or what is wrong."""
    try:
        return decode()
    except ConnectionFault as fault:
        return fault.code, fault.limit
    except hpack.OversizedHeaderListError:
        return ErrorCode.ENHANCE_YOUR_CALM, Limit.HARD_HEADER_LIST_SIZE
    except hpack.InvalidTableSizeError:
        return ErrorCode.COMPRESSION_ERROR, Limit.HEADER_TABLE_SIZE
    except hpack.HPACKError:
        return ErrorCode.COMPRESSION_ERROR, None


def decoded(decoder: HeaderDecoder, block: bytes, into: list[HeaderList]) -> list[Field]:
    into.append(decoder.decode(block))
    return [*into[0].block.fields]


@pytest.mark.req("MAL-2", "SEC-6")
@given(
    st.lists(blocks(), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), max_size=12),
    st.sampled_from((64, 400, 2_000, 100_000, 100_000, 100_000)),
    st.sampled_from((0, 100, 4_096, 8_192)),
    st.sampled_from((0, 1, 2)),
    st.sampled_from((0, 1, 4, 70)),
)
@settings(max_examples=90, database=None)
def test_blocks_mean_what_hpack_says(
    drawn: list[tuple[bytes, bool | None, bool]], order: list[int], hard: int, table: int, updates: int, acked: int
) -> None:
    """Blocks that come again among others; what changes no table is not left to hpack."""
    abuse = AbuseLimits(table_size_updates=updates)
    config = ServerConfig(max_header_list_size=hard, hard_header_list_size=hard, header_table_size=table, abuse=abuse)
    decoder, other = HeaderDecoder(config), hpack.Decoder(max_header_list_size=hard)
    asked = decoder._decoder = Asked(max_header_list_size=hard)
    asked.max_allowed_table_size = other.max_allowed_table_size = max(4_096, table)
    entries = b"".join(b"\x40" + text(b"n%d" % number) + text(b"v") for number in range(acked + 3))
    known: dict[bytes, object] = {}
    for number, (block, simple, indexed) in enumerate(
        [(entries, False, False), *[drawn[at % len(drawn)] for at in (*range(6), *order)]]
    ):
        if number == acked:
            decoder.settings_acked()
            other.max_allowed_table_size = table
            known.clear()
        leading = 0
        while block[leading : leading + 1] in (b"\x20", b"\x3e", b"\x3f"):
            leading += 1 if block[leading] != 0x3F else 3 if block[leading + 1] >= 128 else 2
        count = sum(byte in (0x20, 0x3E, 0x3F) for byte in block[:leading] if 0x20 <= byte < 0x40)
        assert size_updates(block) == count
        if count > updates:
            expected: Any = (ErrorCode.COMPRESSION_ERROR, Limit.TABLE_SIZE_UPDATES)
        else:
            expected = outcome(lambda block=block: list(map(tuple, other.decode(block, raw=True))))  # type: ignore[misc]
        before = asked.blocks
        got: list[HeaderList] = []
        found = outcome(lambda block=block, got=got: decoded(decoder, block, got))  # type: ignore[misc]
        assert found == expected
        if not got:
            assert type(expected) is tuple
            break
        assert got[0].block.size == sum(32 + len(name) + len(value) for name, value in expected)
        at_once = bool(simple) and other.header_table_size <= other.max_allowed_table_size
        assert (asked.blocks == before) is at_once or simple is None
        if asked.blocks != before:
            known.clear()
        elif block in known:
            assert got[0] is known[block]
        elif indexed and len(block) <= 128:
            known[block] = got[0]


@pytest.mark.req("SEC-6")
@given(
    st.lists(st.integers(0, 2**32), max_size=4),
    st.sampled_from((b"", b"\x82", b"\x0f\x20\x01v", b"\x41\x20" + b"v" * 32)),
)
@settings(max_examples=60, database=None)
def test_table_size_updates_are_counted_however_long_they_are(sizes: list[int], rest: bytes) -> None:
    """Also those that are cut."""
    updates = [integer(size, 5, 0x20) for size in sizes]
    block = b"".join(updates)
    assert size_updates(block + rest) == len(sizes)
    for cut in range(len(block)):
        assert size_updates(block[:cut]) == sum(len(b"".join(updates[:count])) < cut for count in range(len(updates)))


@given(st.integers(60, 70), st.sampled_from((127, 128, 129)))
@settings(max_examples=10, database=None)
def test_so_many_blocks_of_such_a_length_are_remembered(count: int, longest: int) -> None:
    """At most 64, of 128 bytes at most."""
    decoder = HeaderDecoder(ServerConfig(hard_header_list_size=100_000))
    for number in range(count):
        decoder.decode(bytes((0x82 + number % 8, 0x82 + number // 8)))
        assert len(decoder._blocks) == number % 64 + 1
    held = len(decoder._blocks)
    decoder.decode(b"\x82" * longest)
    assert len(decoder._blocks) == (held + (longest <= 128) if held < 64 else 1 if longest <= 128 else 64)


@pytest.mark.req("MAL-2")
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), min_size=1, max_size=3))
@settings(max_examples=20, database=None)
def test_a_block_that_is_cut_is_no_block(fields: list[Field]) -> None:
    """Only between two fields it is a shorter one: a string that says more than there is, is a fault."""
    block, ends = b"", {0: 0}  # where so many fields end
    for number, (name, value) in enumerate(fields):
        block += b"\0" + text(name) + text(value)
        ends[len(block)] = number + 1
    for cut in range(len(block) + 1):
        decoder, part = HeaderDecoder(ServerConfig()), block[:cut]
        found = outcome(lambda decoder=decoder, part=part: decoded(decoder, part, []))  # type: ignore[misc]
        assert found == (fields[: ends[cut]] if cut in ends else (ErrorCode.COMPRESSION_ERROR, None)), cut


# -- what goes ---------------------------------------------------------------------------------------------------------


class Plain:
    """What a connection's encoder writes, worked out anew for each field."""

    def __init__(self, most: int, sensitive: set[bytes]) -> None:
        self.most, self.size, self.room = most, min(most, 4_096), min(most, 4_096)
        self.sensitive = sensitive
        self.updates = b"" if self.size == 4_096 else integer(self.size, 5, 0x20)
        self.entries: list[Field] = []  # the newest first
        self.once: list[Field] = []

    def offered(self, size: int) -> None:
        if min(size, self.most) != self.size:
            self.size = self.room = min(size, self.most)
            self.updates = b"\x20" + (integer(self.size, 5, 0x20) if self.size else b"")
            self.entries = []

    def encode(self, fields: list[Field]) -> bytes:
        block, self.updates = self.updates, b""
        for one in fields:
            block += self.field(one)
        return block

    def field(self, one: Field) -> bytes:
        name, value = one
        index = next((at for at, (known, _) in enumerate(STATIC, 1) if known == name), 0)
        rest = (b"" if index else text(name)) + text(value)
        if name in self.sensitive:
            return integer(index, 4, 0x10) + rest
        if one in STATIC:
            return integer(STATIC.index(one) + 1, 7, 0x80)
        if one in self.entries:
            return integer(self.entries.index(one) + 62, 7, 0x80)
        size = len(name) + len(value) + 32
        if name == b"grpc-timeout" or size > self.room or size > self.size / 4:
            return integer(index, 4, 0) + rest
        if one not in self.once:
            self.once = [*(self.once if len(self.once) < 64 else ()), one]
            return integer(index, 4, 0) + rest
        self.once.remove(one)
        self.room -= size
        self.entries.insert(0, one)
        return integer(index, 6, 0x40) + rest


FIELDS = st.one_of(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.sampled_from(STATIC),
    st.tuples(st.just(b"x"), st.sampled_from((b"v" * 31, b"v" * 32, b"v" * 990, b"v" * 991, b"v" * 992))),
)
LISTS = st.lists(FIELDS, max_size=5)
STEPS = st.one_of(
    st.tuples(st.just("list"), LISTS),
    st.tuples(st.just("always"), st.integers(0, 2)),
    st.tuples(st.just("always"), st.integers(0, 2)),
    st.tuples(st.just("offer"), st.sampled_from((0, 30, 31, 60, 128, 200, 4_096, 65_536))),
    st.tuples(st.just("many"), st.sampled_from((3, 62, 63, 64, 65))),
    st.tuples(st.just("table"), st.sampled_from((3, 66, 120))),
)


@pytest.mark.req("SEC-6", "MD-15", "H2-10")
@given(
    st.lists(STEPS, max_size=12),
    st.lists(LISTS, min_size=3, max_size=3),
    st.sampled_from((0, 60, 256, 4_096, 16_384)),
    st.sampled_from((frozenset[str](), frozenset({"Secret"}))),
)
@settings(max_examples=90, database=None)
def test_blocks_are_those_of_an_encoder_without_memory(
    steps: list[tuple[str, Any]], always: list[list[Field]], most: int, sensitive: frozenset[str]
) -> None:
    encoder = FieldEncoder(ClientConfig(header_table_size=most, sensitive_metadata=sensitive))
    hidden = {b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"} | {b"secret" for _ in sensitive}
    model, reader = Plain(most, hidden), hpack.Decoder(max_header_list_size=10**6)
    kept = [FieldList(fields) for fields in always]
    for step, what in steps:
        if step == "offer":
            encoder.header_table_size = what
            model.offered(what)
            reader.max_allowed_table_size = max(4_096, what)
            assert encoder.header_table_size == model.size
            continue
        if step == "many":
            lists: list[Any] = [[(b"once", b"%d" % number)] for number in range(what)]
        elif step == "table":
            lists = [[(b"t%d" % number, b"")] for number in range(what) for _ in range(3)]
            lists += lists[::3]  # once more, from the far end of the table
        else:
            lists = [kept[what]] if step == "always" else [what]
        for fields in lists:
            block = encoder.encode(fields)
            assert block == model.encode(fields)
            read = reader.decode(block, raw=True)
            assert [tuple(one) for one in read] == fields
            assert all(isinstance(one, hpack.NeverIndexedHeaderTuple) for one in read if one[0] in hidden)
        assert list(map(tuple, reader.header_table.dynamic_entries)) == model.entries
        assert reader.header_table_size <= most or not encoder._entries


@given(st.integers(60, 140))
@settings(max_examples=5, database=None)
def test_so_many_lists_are_remembered(count: int) -> None:
    """At most 64."""
    encoder = FieldEncoder(ClientConfig())
    for number in range(count):
        encoder.encode(FieldList([STATIC[1], STATIC[number % 14]]))
        assert len(encoder._lists) == number % 64 + 1
