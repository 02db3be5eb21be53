"""Where duplexcore does otherwise than most, and no rule of HTTP/2 or of gRPC's documents says what is right: why, for
its cells. "decision" refers to section 21 of docs/requirements.md; an id alone to the rule, which makes the choice."""

from __future__ import annotations

__all__ = ["DECISIONS"]

_TIMEOUT = "decision: as grpc-go"
_LARGE = "MD-10: 16 KiB, a setting"
_CONNECT = "raised before there is a channel to call on"

#: Case -> why.
DECISIONS: dict[str, str] = {
    # servers
    "HDR-2/get": "HDR-2: as grpc-go",
    "HDR-6/neither": "HDR-6: an empty authority",
    "HDR-6/two-hosts": "HDR-6: as grpc-go",
    "HDR-7/no-te": "decision; require_te refuses",
    "HDR-9/text": "decision: a bare 415",
    "HDR-9/none": "decision: a bare 415",
    "MD-8/alphabet": "MD-8: as C-core",
    "MD-8/length": "MD-8: as C-core",
    "MD-8/trace": "MD-8: as C-core",
    "MD-11/60k": _LARGE,
    "MD-11/in-step": _LARGE,
    "STAT-14/none": "decision: as the document",
    "STAT-14/two": "decision: as the document",
    **dict.fromkeys(
        (
            "DEAD-3/empty",
            "DEAD-3/no-unit",
            "DEAD-3/no-number",
            "DEAD-3/nine-digits",
            "DEAD-3/unit",
            "DEAD-3/unit-case",
            "DEAD-3/negative",
            "DEAD-3/fraction",
            "DEAD-3/trailing",
            "DEAD-3/any",
        ),
        _TIMEOUT,
    ),
    "DEAD-5/passes": "decision: trailers",
    "COMP-3/unknown": "decision: at the headers",
    "SEC-6/sizes": "RFC 7541 section 4.2: two at most",
    "SEC-6/bomb": _LARGE,
    # clients
    "end_on_data": "decision: as grpc-go",
    "metadata_large": "MD-10: 8 KiB, a setting",
    "http_431": "ERR-1: as grpc-java",
    "status_repeated": "STAT-7: no number, no trust",
    "rst_refused_stream": "RETRY-3: said again, once",
    "header_limit": "MD-12",
    "close_at_once": _CONNECT,
    "first_ping": _CONNECT,
    "first_http_1": _CONNECT,
}
