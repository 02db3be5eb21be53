"""TLS as gRPC wants it: HTTP/2 agreed on by ALPN, TLS 1.2 or later, certificates checked."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from os import PathLike
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

from .asyncio_links import AsyncioLink
from .drivers import Link
from .errors import TLSError

__all__ = ["client_tls", "negotiate", "plain", "server_tls"]

Path = str | PathLike[str]


def client_tls(
    *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None, password: str | None = None
) -> ssl.SSLContext:
    """A context for `connect`: the server's certificate and host name are checked.

    ``ca``: a PEM file of the authorities to trust instead of the system's. ``certificate`` and ``key``: PEM files that
    this client shows. Raises OSError for a file that cannot be read, `ssl.SSLError` for one that holds no PEM.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    return _prepare(context, certificate, key, password)


def server_tls(
    certificate: Path, key: Path | None = None, *, password: str | None = None, client_ca: Path | None = None
) -> ssl.SSLContext:
    """A context for `serve`. ``certificate`` and ``key``: PEM files, or one that holds both. ``client_ca``: clients
    must show a certificate of these authorities. Raises OSError and `ssl.SSLError` as `client_tls` does."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if client_ca is not None:
        context.load_verify_locations(cafile=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return _prepare(context, certificate, key, password)


def _prepare(
    context: ssl.SSLContext, certificate: Path | None, key: Path | None, password: str | None
) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key, password)
    context.set_alpn_protocols(["h2"])
    return context


class _OneAtATime(ByteStream):
    """A transport stream under TLS: reading may have to answer (a key update), and that must wait for the writer."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._lock = anyio.Lock()

    async def send(self, item: bytes) -> None:
        async with self._lock:
            await self._stream.send(item)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._stream.receive(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Any]:
        return self._stream.extra_attributes


async def negotiate(link: Link, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None) -> Link:
    """The connection with TLS on it. Raises `TLSError`; it is then closed."""
    context.set_alpn_protocols(["h2"])
    try:
        if isinstance(link, AsyncioLink):
            await link.open(context, server_side=server_side, hostname=hostname)
            secured: Link = link
        else:
            secured = await TLSStream.wrap(
                _OneAtATime(link),
                server_side=server_side,
                hostname=hostname,
                ssl_context=context,
                standard_compatible=False,
            )
        tls = secured.extra(TLSAttribute.ssl_object)
        if tls.selected_alpn_protocol() != "h2":
            raise TLSError("the peer did not agree on HTTP/2 (ALPN 'h2'): is it a gRPC endpoint?")
        if tls.version() in ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1"):
            raise TLSError(f"the peer speaks {tls.version()}: gRPC needs TLS 1.2 or later")
    except BaseException as error:
        await anyio.aclose_forcefully(link)
        if isinstance(error, ssl.SSLError | ssl.CertificateError):
            raise TLSError(_explain(error)) from error
        if isinstance(error, anyio.EndOfStream | anyio.BrokenResourceError | OSError):
            raise TLSError(
                "the peer closed the connection during the TLS handshake: does it speak TLS, and does it want a "
                "client certificate?"
            ) from error
        raise
    return secured


async def plain(link: Link, *, server_side: bool) -> Link:
    """The connection without TLS. Raises OSError; it is then closed."""
    if isinstance(link, AsyncioLink):
        await link.open(server_side=server_side)
    return link


def _explain(error: ssl.SSLError | ssl.CertificateError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the peer's certificate was refused: {error.verify_message}. Name the authority that issued it "
            "(client_tls(ca=...)), or the name that it was issued for (server_hostname=...)"
        )
    reason = error.reason or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return "the peer does not speak TLS: connect without tls, or to another port"
    if "ALERT" in reason or "CERTIFICATE" in reason:
        return f"the peer refused this side in the TLS handshake: {reason.replace('_', ' ').lower()}"
    return f"the TLS handshake failed: {reason.replace('_', ' ').lower()}"
