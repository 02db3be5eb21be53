"""MAL-3: header blocks that do not decode. The tables are out of step then: a connection error COMPRESSION_ERROR."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import ANSWERED, COMPRESSION, OTHER_GOAWAY, connection_error
from duplexcore.testing.probe.talk import Talk

from .table import add, case

#: id, title, section of RFC 7541, the block.
BLOCKS: tuple[tuple[str, str, str, bytes], ...] = (
    ("index-0", "the index 0", "6.1", b"\x80"),
    ("index-far", "an index beyond the tables", "2.3.3", b"\xff\x80\x01"),
    ("integer-endless", "an integer that does not fit 64 bits", "5.1", b"\xff" + b"\xff" * 20 + b"\x01"),
    ("string-cut", "a string longer than the block", "5.2", b"\x40\x05abc"),
    ("huffman-padding", "a Huffman string with 8 bits of padding", "5.2", b"\x40\x82\x1f\xff\x01a"),
    ("huffman-eos", "a Huffman string with EOS inside", "5.2", b"\x40\x84\xff\xff\xff\xff\x01a"),
    ("table-too-large", "a table larger than SETTINGS allow", "6.3", b"\x3f\xff\xff\xff\x07"),
)


def _enter(id_: str, title: str, section: str, block: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(raw.frame(raw.HEADERS, raw.EH | raw.ES, 1, talk.peer.block(talk.fields()) + block))

    async def update_first(talk: Talk) -> None:
        await talk.send(raw.frame(raw.HEADERS, raw.EH | raw.ES, 1, block + talk.peer.block(talk.fields())))

    add(
        f"MAL-3/{id_}",
        title,
        update_first if section == "6.3" else script,
        f"RFC 9113 section 4.3; RFC 7541 section {section}",
        connection_error(COMPRESSION),
        OTHER_GOAWAY,
    )


for _row in BLOCKS:
    _enter(*_row)


@case(
    "MAL-3/update-late",
    "a change of the table's size after a field",
    by="RFC 9113 section 4.3.1; RFC 7541 section 4.2",
    allowed=connection_error(COMPRESSION),
    tolerated=OTHER_GOAWAY,
)
async def update_late(talk: Talk) -> None:
    await talk.send(raw.frame(raw.HEADERS, raw.EH | raw.ES, 1, talk.peer.block(talk.fields()) + b"\x20"))


@case(
    "MAL-3/every-representation",
    "fields as Huffman strings, not indexed, never indexed, and the table emptied first",
    by="RFC 7541 sections 5.2 and 6.2",
    allowed=[ANSWERED],
)
async def every_representation(talk: Talk) -> None:
    encoder = talk.peer.encoder
    encoder.header_table_size = 0
    encoder.header_table_size = 4_096
    block = encoder.encode([(name, value) for name, value in talk.fields(("x-huffman", "curious"))], huffman=True)
    block += b"\x00\x05x-not\x011" + b"\x10\x07x-never\x012"
    await talk.send(raw.frame(raw.HEADERS, raw.EH, 1, block), talk.message())


@case(
    "CONN-5/no-table",
    "a client without a dynamic table must be able to read the answer",
    by="RFC 7541 section 4.2; RFC 9113 section 4.3.1",
    allowed=[ANSWERED],
    hello=False,
)
async def no_table(talk: Talk) -> None:
    """Entries that the server adds are an error here, and so is a block without the change of size."""
    talk.peer.decoder.max_allowed_table_size = 0
    await talk.hello({raw.TABLE_SIZE: 0})
    if not await talk.acknowledgement():
        return
    await talk.send(talk.call())
