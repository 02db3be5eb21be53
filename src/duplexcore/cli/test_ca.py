"""The test authority of the interop programs: a folder that a server and its clients share.

The official one and its certificates are others' files. This one is made on this machine, under the official names:
``ca.pem``, and ``server1.pem`` with ``server1.key`` for the names that the official server has, and for localhost.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .problems import Problem, need

__all__ = ["AUTHORITY", "CERTIFICATE", "KEY", "default_folder", "made_folder"]

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "server1.pem", "server1.key"
NAMES = ("*.test.google.fr", "*.test.youtube.com", "waterzooi.test.google.be", "localhost", "127.0.0.1", "::1")


def default_folder() -> Path:
    """Where it is when nobody says: among this user's files, since who can write there is trusted."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "duplexcore" / "interop-ca"


def made_folder(folder: Path) -> Path:
    """The folder, filled if it was empty or not there; one that is there stays as it is. Raises `Problem`.

    It appears whole: of two servers that start together one makes it, and both use it.
    """
    if _is_whole(folder):
        return folder
    need("trustme")
    import trustme

    authority = trustme.CA(organization_name="duplexcore, for interop tests only")
    certificate = authority.issue_cert(*NAMES)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as making:
            fresh = Path(making) / "whole"  # readable by this user alone, as its parent is
            fresh.mkdir(mode=0o700)
            authority.cert_pem.write_to_path(fresh / AUTHORITY)
            certificate.private_key_pem.write_to_path(fresh / KEY)
            for blob in certificate.cert_chain_pems:
                blob.write_to_path(fresh / CERTIFICATE, append=True)
            fresh.replace(folder)
    except OSError as error:
        if not _is_whole(folder):
            raise Problem(
                f"cannot make a test authority in {folder}: {error.strerror or error}",
                f"name a folder with {AUTHORITY}, {CERTIFICATE} and {KEY}, or one that is empty or not there yet",
            ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (AUTHORITY, CERTIFICATE, KEY))
