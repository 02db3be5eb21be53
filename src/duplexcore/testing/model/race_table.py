"""How a call can end on its two sides at once: each pair that the rules allow, and why (P7).

`explorer` computes the pairs from the models; a test holds them against this table, which was reviewed by hand, and
against ``race_table.txt``, which shows a shortest way to each. STATUS stands for any status that the server's
application gives; RESOURCE_EXHAUSTED of a library for any status by which one judges what it heard; "never": the
server's application has not been shown the call.
"""

from __future__ import annotations

from typing import Final

from .explorer import ALL, Feature, Move, Pair, Script, ending, explore
from .vocabulary import Origin, Terminal

#: (client's end, server's end) -> why that may be.
RACE_TABLE: Final[dict[Pair, str]] = {
    # The status arrives.
    ("STATUS peer", "STATUS local"): "the ordinary end: the status that was sent (DUP-1, DUP-3, P6)",
    ("CANCELLED peer", "CANCELLED local"): "the server aborts and says so, by trailers or RST(CANCEL) (DUP-35)",
    ("DEADLINE_EXCEEDED peer", "DEADLINE_EXCEEDED local"): "the server's clock was first, its trailers arrive (DUP-13)",
    (
        "CANCELLED peer",
        "DEADLINE_EXCEEDED local",
    ): "the same with a message partly on the wire: RST(CANCEL) (DUP-13, P37)",
    (
        "RESOURCE_EXHAUSTED peer",
        "RESOURCE_EXHAUSTED library",
    ): "the server refuses a message, its trailers arrive (FRM-9)",
    (
        "CANCELLED peer",
        "RESOURCE_EXHAUSTED library",
    ): "the same with a message partly on the wire: RST(CANCEL) (DUP-35)",
    ("INTERNAL peer", "INTERNAL library"): "the server's library fails: RST(INTERNAL_ERROR) (DUP-7, ERR-B)",
    ("INTERNAL peer", "CANCELLED local"): "the server aborts, no trailers would fit: RST(INTERNAL_ERROR) (MD-12)",
    ("INTERNAL peer", "DEADLINE_EXCEEDED local"): "the same where its clock was first (MD-12, DUP-13)",
    ("INTERNAL peer", "RESOURCE_EXHAUSTED library"): "the same where it refuses a message (MD-12, FRM-9)",
    ("UNAVAILABLE peer unprocessed", "never"): "RST(REFUSED_STREAM): the server had no place (DUP-28, CONN-8)",
    # The client's application leaves.
    ("CANCELLED local unprocessed", "never"): "cancelled before HEADERS were framed (DUP-8)",
    ("CANCELLED local", "CANCELLED peer"): "cancelled, the server hears of it by RST(CANCEL) (DUP-10, CANC-2)",
    ("CANCELLED local", "STATUS local"): "the cancel crosses trailers: each side keeps what it had first (DUP-11)",
    ("CANCELLED local", "CANCELLED local"): "the cancel crosses an abort (DUP-11, DUP-35)",
    ("CANCELLED local", "DEADLINE_EXCEEDED local"): "the cancel crosses the server's deadline (DUP-11, DUP-13)",
    (
        "CANCELLED local",
        "RESOURCE_EXHAUSTED library",
    ): "the cancel crosses the server's verdict on a message (DUP-11, FRM-9)",
    ("CANCELLED local", "INTERNAL library"): "the cancel crosses a fault of the server's library (DUP-11, DUP-36)",
    ("CANCELLED local", "CANCELLED transport"): "cancelled, the connection breaks before the RST arrives (DUP-29)",
    (
        "CANCELLED local",
        "never",
    ): "cancelled after HEADERS, which were lost, refused or above a GOAWAY (DUP-26, DUP-29)",
    # The client's deadline passes: as a cancel (DUP-12).
    ("DEADLINE_EXCEEDED local unprocessed", "never"): "passed before HEADERS were framed (DEAD-2)",
    ("DEADLINE_EXCEEDED local", "CANCELLED peer"): "passed, the server hears of it by RST(CANCEL) (DUP-12, CANC-2)",
    (
        "DEADLINE_EXCEEDED local",
        "STATUS local",
    ): "passed while trailers were on their way: these are discarded (DUP-12)",
    ("DEADLINE_EXCEEDED local", "CANCELLED local"): "passed while the server aborted (DUP-12, DUP-35)",
    ("DEADLINE_EXCEEDED local", "DEADLINE_EXCEEDED local"): "both clocks, independently (DEAD-5)",
    (
        "DEADLINE_EXCEEDED local",
        "RESOURCE_EXHAUSTED library",
    ): "passed while the server refused a message (DUP-12, FRM-9)",
    ("DEADLINE_EXCEEDED local", "INTERNAL library"): "passed while the server's library failed (DUP-12, DUP-36)",
    ("DEADLINE_EXCEEDED local", "CANCELLED transport"): "passed, the connection breaks before the RST arrives (DUP-29)",
    ("DEADLINE_EXCEEDED local", "never"): "passed after HEADERS, which were lost, refused or above a GOAWAY (DUP-26)",
    # The client's library refuses what it hears.
    ("RESOURCE_EXHAUSTED library", "CANCELLED peer"): "a message above the client's limit: RST(CANCEL) (FRM-4, FRM-9)",
    ("RESOURCE_EXHAUSTED library", "STATUS local"): "the same after the trailers were framed (FRM-9, STAT-21)",
    ("RESOURCE_EXHAUSTED library", "CANCELLED local"): "the same, crossing an abort (FRM-9, DUP-35)",
    (
        "RESOURCE_EXHAUSTED library",
        "DEADLINE_EXCEEDED local",
    ): "the same, crossing the server's deadline (FRM-9, DUP-13)",
    ("RESOURCE_EXHAUSTED library", "RESOURCE_EXHAUSTED library"): "each refuses a message of the other (FRM-9)",
    ("RESOURCE_EXHAUSTED library", "INTERNAL library"): "the same, crossing a fault of the server's library (DUP-36)",
    ("RESOURCE_EXHAUSTED library", "CANCELLED transport"): "the same, the RST is lost with the connection (DUP-29)",
    # The client's library fails.
    ("INTERNAL library unprocessed", "never"): "failed before HEADERS were framed (MD-12)",
    ("INTERNAL library", "CANCELLED peer"): "RST(INTERNAL_ERROR): any RST cancels a server's call (ERR-D, CANC-2)",
    ("INTERNAL library", "STATUS local"): "failed while trailers were on their way (DUP-36, DUP-39)",
    ("INTERNAL library", "CANCELLED local"): "failed while the server aborted (DUP-35)",
    ("INTERNAL library", "DEADLINE_EXCEEDED local"): "failed while the server's deadline passed (DUP-13)",
    ("INTERNAL library", "RESOURCE_EXHAUSTED library"): "failed while the server refused a message (FRM-9)",
    ("INTERNAL library", "INTERNAL library"): "both failed; no RST is answered by another (DUP-36)",
    ("INTERNAL library", "CANCELLED transport"): "failed, the RST is lost with the connection (DUP-29)",
    ("INTERNAL library", "never"): "failed after HEADERS, which were lost, refused or above a GOAWAY (DUP-26)",
    # The connection goes.
    (
        "UNAVAILABLE transport unprocessed",
        "never",
    ): "above the id of a GOAWAY, or HEADERS were never framed (DUP-26, GOAW-6)",
    ("UNAVAILABLE transport", "never"): "HEADERS, or the refusal of them, were lost with the connection (DUP-29)",
    ("UNAVAILABLE transport", "CANCELLED transport"): "the connection is lost for both (DUP-29, DUP-27)",
    ("UNAVAILABLE transport", "STATUS local"): "the status was framed and lost with the connection (DUP-29)",
    ("UNAVAILABLE transport", "CANCELLED local"): "the server aborted, which was lost with the connection (DUP-29)",
    (
        "UNAVAILABLE transport",
        "DEADLINE_EXCEEDED local",
    ): "the server's clock was first, its trailers are lost (DUP-29)",
    (
        "UNAVAILABLE transport",
        "RESOURCE_EXHAUSTED library",
    ): "the server refused a message, its trailers are lost (DUP-29)",
    ("UNAVAILABLE transport", "INTERNAL library"): "the server's library failed, its RST is lost (DUP-29)",
}


def allowed(client: Terminal | None, server: Terminal | None) -> bool:
    """Whether a call may end so on its two sides; None: that side's application knows of no call.

    The codes are those of the run; each is translated to the table's stand-in for it. A client's status from its peer
    is allowed only beside the same status of the server.
    """
    same = client is not None and server is not None and client.origin is Origin.PEER and client.code == server.code
    judged = client is not None and client.origin is Origin.LIBRARY and not client.unprocessed
    first = ending(client)
    for stand_in in _stand_ins(server):
        if (f"{stand_in.split()[0]} peer" if same else first, stand_in) in RACE_TABLE:
            return True
        if judged and ("RESOURCE_EXHAUSTED library", stand_in) in RACE_TABLE:
            return True
    return False


def _stand_ins(server: Terminal | None) -> tuple[str, ...]:
    if server is None:
        return (ending(None),)
    match server.origin:
        case Origin.LOCAL:
            return (ending(server), "STATUS local")
        case Origin.LIBRARY:
            return (ending(server), "RESOURCE_EXHAUSTED library")
        case _:
            return (ending(server),)


#: What reaches every pair. One exploration with all features at once finds no other, and takes ten times as long.
SCRIPTS: Final = (
    Script(1, 1, 1, ALL | Feature.LIMITS),
    Script(1, 1, 1, Feature.DEADLINES | Feature.RESETS | Feature.CUT | Feature.LIMITS),
    Script(1, 1, 1, Feature.CANCEL | Feature.DEADLINES | Feature.RESETS | Feature.LIMITS | Feature.LISTS),
)


def find_pairs() -> dict[Pair, tuple[Move, ...]]:
    """Every pair of ends that the models can reach, with a shortest way to it."""
    pairs: dict[Pair, tuple[Move, ...]] = {}
    for script in SCRIPTS:
        for pair, way in explore(script).pairs.items():
            if pair not in pairs or len(way) < len(pairs[pair]):
                pairs[pair] = way
    return pairs


def render(pairs: dict[Pair, tuple[Move, ...]]) -> str:
    """The golden file: each pair of ends, why it may be, and a shortest way to it."""
    lines = [f"{len(pairs)} pairs of ends: the client's | the server's", ""]
    order = {pair: position for position, pair in enumerate(RACE_TABLE)}
    for pair in sorted(pairs, key=lambda pair: (order.get(pair, len(order)), pair)):
        lines.append(f"{pair[0]} | {pair[1]}")
        lines.append(f"    {RACE_TABLE.get(pair, 'NOT REVIEWED')}")
        lines += [f"    {number}. {move}" for number, move in enumerate(pairs[pair], 1)]
        lines.append("")
    return "\n".join(lines)
