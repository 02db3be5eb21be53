"""A header block that comes again means what it meant: to the same reader, while the table stands (MAL-1, MAL-2)."""

import hpack
import pytest

from duplexcore import ClientConfig, Limit, ServerConfig
from duplexcore.call import headers
from duplexcore.call.lane import Block
from duplexcore.http2.header_decoder import HeaderDecoder
from duplexcore.http2.header_encoder import FieldEncoder
from duplexcore.http2.header_rules import HeaderList, Kind
from duplexcore.metadata import Field, FieldList, field_list_size

RESPONSE: list[Field] = [(b":status", b"200"), (b"content-type", b"application/grpc+one")]
BOTH = [*RESPONSE, (b"grpc-status", b"5")]
REQUEST: list[Field] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/p.S/M"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]


def listed(fields: list[Field]) -> HeaderList:
    return HeaderList(fields, field_list_size(fields))


@pytest.mark.req("MAL-1", "MAL-5")
def test_a_list_is_judged_for_each_place_that_it_stands_in() -> None:
    response, early = listed(RESPONSE), listed([(b":status", b"103")])
    for _ in range(2):
        assert not response.verdict(Kind.RESPONSE, end=False).malformed
        assert response.verdict(Kind.TRAILERS, end=True).malformed
        assert not early.verdict(Kind.RESPONSE, end=False).malformed
        assert early.verdict(Kind.RESPONSE, end=True).malformed


@pytest.mark.req("MAL-2", "SEC-6")
def test_a_block_is_remembered_as_long_as_the_table_stands() -> None:
    encoder, decoder = FieldEncoder(ClientConfig()), HeaderDecoder(ServerConfig())
    for _ in range(2):  # the second time they enter the table
        decoder.decode(encoder.encode(REQUEST))
    block = encoder.encode(REQUEST)
    first = decoder.decode(block)
    assert first.block.fields == REQUEST
    assert decoder.decode(block) is first
    for _ in range(2):
        decoder.decode(encoder.encode([(b"x", b"new")]))
    again = decoder.decode(block)
    assert again is not first
    assert again.block.fields[2:] != REQUEST[2:]  # the same bytes mean something else now
    assert decoder.decode(encoder.encode(REQUEST)).block.fields == REQUEST


@pytest.mark.req("HDR-10", "STAT-2")
def test_each_reader_reads_for_itself() -> None:
    config, block = ClientConfig(), Block.of(BOTH)
    for _ in range(2):
        assert isinstance(headers.read_response(block, "one", config), headers.Response)
        assert isinstance(headers.read_response(block, "two", config), headers.BadBlock)
        outcome = headers.read_outcome(block, config)
        assert isinstance(outcome, headers.Outcome)
        assert outcome.ended is not None
        assert outcome.ended.status.code == 5
        small = ClientConfig(max_header_list_size=100)
        assert isinstance(headers.read_response(block, "one", small), headers.BadBlock)


@pytest.mark.req("CONN-8")
def test_a_request_that_was_read_before_is_refused_when_there_is_no_room() -> None:
    config, block = ServerConfig(), Block.of(REQUEST)
    read = headers.read_request(block, config, full=None)
    assert isinstance(read, headers.Request)
    assert headers.read_request(block, config, full=None) is read
    refused = headers.read_request(block, config, full=Limit.MAX_CONCURRENT_CALLS)
    assert isinstance(refused, headers.Refusal)
    assert refused.limit is Limit.MAX_CONCURRENT_CALLS


def test_a_large_block_is_read_anew_each_time() -> None:
    config = ServerConfig()
    block = Block.of([*REQUEST, (b"x", b"v" * headers.REMEMBERED_SIZE)])
    assert isinstance(headers.read_request(block, config, full=None), headers.Request)
    assert block.known is None


def test_indexes_of_two_bytes_are_read_as_hpack_reads_them() -> None:
    long = b"\x1f\x08\x03abc"  # authorization, never indexed: 15 + 8
    decoder, other = HeaderDecoder(ServerConfig()), hpack.Decoder()
    assert list(decoder._read(long).block.fields) == list(other.decode(long, raw=True)) == [(b"authorization", b"abc")]  # type: ignore[union-attr]
    inserted = b"".join(b"\x40\x01%c\x01v" % letter for letter in range(97, 97 + 26)) * 3  # 78 entries
    for each in (decoder._decoder, other):
        each.decode(inserted)
    for block in (b"\xff\x00", b"\xff\x0c", b"\x0f\x3f\x01w", b"\xff\x7f", b"\x0f\x7f\x01w"):
        read = decoder._read(block)
        try:
            expected = list(other.decode(block, raw=True))
        except hpack.HPACKError:
            assert read is None
        else:
            assert read is not None
            assert list(read.block.fields) == expected
    assert decoder._read(b"\xff\x80\x01") is None  # three bytes are left to hpack


def test_a_list_has_one_block_until_the_table_changes() -> None:
    encoder, decoder = FieldEncoder(ClientConfig()), HeaderDecoder(ServerConfig())
    always = FieldList([(b":method", b"POST"), (b"a", b"1"), (b"b", b"2")])
    assert always.size == field_list_size([*always])
    blocks = []
    for other in (b"x", b"x", b"x", b"y", b"y", b"y"):  # enters the table when it is sent for the second time
        for fields in (always, [(b"c", other)], always):
            block = encoder.encode(fields)
            assert list(decoder.decode(block).block.fields) == list(fields)
            blocks.append(block)
    assert len(set(blocks[0::3])) > 1, "the table has not changed"
    assert blocks[15] == blocks[17]
    encoder.header_table_size = 0
    block = encoder.encode(always)
    assert list(decoder.decode(block).block.fields) == always
    assert decoder.decode(encoder.encode(always)).block.fields == always
