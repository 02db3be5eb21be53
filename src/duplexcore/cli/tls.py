"""Certificates for the command line: throw-away ones, and those that files hold."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from .problems import Problem, need

__all__ = ["ThrowAway", "client_context", "server_context", "throw_away"]

#: The name that throw-away certificates are for; over Unix sockets there is no other.
NAME = "localhost"


@dataclass(frozen=True)
class ThrowAway:
    """An authority and a certificate that live as long as the process. ``ca``, ``chain`` and ``key`` are PEM."""

    ca: bytes
    chain: bytes
    key: bytes
    server: ssl.SSLContext
    client: ssl.SSLContext

    @classmethod
    def made(cls, *hosts: str) -> ThrowAway:
        """For localhost, the loopback addresses, and ``hosts``."""
        need("trustme")
        import trustme

        authority = trustme.CA(organization_name="duplexcore, thrown away after use")
        certificate = authority.issue_cert(*dict.fromkeys([NAME, "127.0.0.1", "::1", *hosts]))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate.configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        return cls(
            authority.cert_pem.bytes(),
            b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
            certificate.private_key_pem.bytes(),
            server,
            client,
        )


def client_context(ca: Path | None) -> ssl.SSLContext:
    """Trusts the authorities of a file, or the system's. Raises `Problem`."""
    from duplexcore_anyio import client_tls

    try:
        return client_tls(ca=ca)
    except OSError as error:  # ssl.SSLError is one
        raise Problem(
            f"cannot use --ca {ca}: {_reason(error)}", "name a PEM file with the authority's certificate"
        ) from (error)


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Shows the certificate of a file. Raises `Problem`."""
    from duplexcore_anyio import server_tls

    try:
        return server_tls(certificate, key)
    except OSError as error:
        hint = "name PEM files: the certificate with its chain, and the key that belongs to it"
        raise Problem(f"cannot use --cert {certificate}: {_reason(error)}", hint) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no PEM file").replace("_", " ").lower()
    return error.strerror or str(error)


@contextmanager
def throw_away(host: str, *, wanted: bool) -> Generator[ssl.SSLContext | None, None, None]:
    """A server's context with a certificate made for this once; its authority is in a file as long as it is used."""
    if not wanted:
        yield None
        return
    made = ThrowAway.made(*([host] if host else []))
    with tempfile.TemporaryDirectory(prefix="duplexcore-") as directory:
        authority = Path(directory) / "authority.pem"
        authority.write_bytes(made.ca)
        click.echo(f"the certificate is made for this once; clients trust it with --ca {authority}")
        yield made.server
