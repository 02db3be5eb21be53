"""Official cases that can not be run, each with the reason: asked for by name, they are skipped, not unknown."""

from __future__ import annotations

from .case import Case, CaseRun, CaseSkipped

__all__ = ["CASES"]

_ACCOUNTS = "it needs an account at a cloud provider, and credentials made from it"
_ORCA = "it needs load balancing by reports of the backends (ORCA), which duplexcore does not have"

_REASONS = {
    "cacheable_unary": "it needs a caching proxy and calls by HTTP GET, which gRPC has given up",
    "orca_per_rpc": _ORCA,
    "orca_oob": _ORCA,
    "max_concurrent_streams_connection_scaling": (
        "a channel of duplexcore is one connection: calls above the server's limit wait (CONN-7)"
    ),
    "compute_engine_creds": _ACCOUNTS,
    "service_account_creds": _ACCOUNTS,
    "jwt_token_creds": _ACCOUNTS,
    "oauth2_auth_token": _ACCOUNTS,
    "per_rpc_creds": _ACCOUNTS,
    "google_default_credentials": _ACCOUNTS,
    "compute_engine_channel_credentials": _ACCOUNTS,
}


def _skipped(name: str, reason: str) -> Case:
    async def skip(_: CaseRun) -> None:
        raise CaseSkipped(reason)

    return Case(name, f"not run: {reason}", (), skip)


CASES = tuple(_skipped(name, reason) for name, reason in _REASONS.items())
