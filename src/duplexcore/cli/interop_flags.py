"""What the flags of the interop programs mean. What they can not mean is a usage error: exit code 2."""

from __future__ import annotations

import difflib
import ssl
from pathlib import Path

import click

from duplexcore import Metadata
from duplexcore.interop.case import Case
from duplexcore.interop.suites import BY_NAME, SUITES, UnknownCaseError, chosen
from duplexcore.metadata import InvalidMetadataError, encode_metadata

from .problems import Problem, told_as_wrong_use
from .test_ca import AUTHORITY, CERTIFICATE, KEY, default_folder, made_folder
from .tls import client_context, server_context

__all__ = ["address", "client_tls", "known_cases", "metadata", "server_tls"]


def known_cases(asked: tuple[str, ...]) -> list[Case]:
    """The cases that ``--test_case`` asks for, by commas and by repetition."""
    names = [name for name in ",".join(asked).replace(" ", "").split(",") if name]
    if not names:
        raise click.UsageError("--test_case names no case: --list tells which there are")
    try:
        return chosen(names)
    except UnknownCaseError as error:
        name = str(error)
        near = difflib.get_close_matches(name, [*BY_NAME, *SUITES], 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise click.UsageError(f"there is no case {name!r}: {hint}--list tells which there are") from None


def server_tls(use_tls: bool, cert: Path | None, key: Path | None, test_ca_dir: Path | None) -> ssl.SSLContext | None:
    """None without TLS. Says where the authority is when it is the test authority."""
    if key and not cert:
        raise click.UsageError("--key belongs to --cert")
    if cert and test_ca_dir:
        raise click.UsageError("--cert and --test_ca_dir both name a certificate: give one of them")
    if not (use_tls or cert):
        if test_ca_dir:
            raise click.UsageError("--test_ca_dir is for --use_tls")
        return None
    with told_as_wrong_use():
        if cert:
            return server_context(cert, key)
        folder = made_folder(test_ca_dir or default_folder())
        click.echo(f"the certificate is the test authority's; clients trust it with --test_ca_dir {folder}")
        return server_context(folder / CERTIFICATE, folder / KEY)


def client_tls(use_tls: bool, use_test_ca: bool, ca: Path | None, test_ca_dir: Path | None) -> ssl.SSLContext | None:
    """None without TLS."""
    if use_test_ca and ca:
        raise click.UsageError("--use_test_ca and --ca both name an authority: give one of them")
    if test_ca_dir and not use_test_ca:
        raise click.UsageError("--test_ca_dir is for --use_test_ca")
    if use_test_ca and not use_tls:
        raise click.UsageError("--use_test_ca is for --use_tls")
    if not (use_tls or ca):
        return None
    with told_as_wrong_use():
        if use_test_ca:
            ca = (test_ca_dir or default_folder()) / AUTHORITY
            if not ca.is_file():
                raise Problem(
                    f"there is no test authority: {ca} is not there",
                    "start `duplexcore interop server --use_tls` first, which makes one; or name its folder with "
                    "--test_ca_dir, or another authority with --ca",
                )
        return client_context(ca)


def metadata(text: str) -> Metadata:
    """Of ``KEY:VALUE;KEY:VALUE``; colons may stand in the values."""
    pairs = [pair.partition(":") for pair in text.split(";") if pair.strip()]
    given = Metadata([(key.strip(), value.strip()) for key, _, value in pairs])
    for (key, value), (_, colon, _) in zip(given, pairs, strict=True):
        if not colon:
            raise click.UsageError(f"--additional_metadata: {key!r} has no value: write KEY:VALUE;KEY:VALUE")
        if key.endswith("-bin"):
            raise click.UsageError(f"--additional_metadata: {key!r} would be binary, and a flag is text")
        try:
            encode_metadata([(key, value)])
        except InvalidMetadataError as error:
            raise click.UsageError(f"--additional_metadata: {error}") from None
    return given


def address(host: str, port: int) -> str:
    """A target; a host that is one already, as a list of addresses is, stays."""
    if host.startswith(("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:")):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
