"""Call credentials: metadata that is made for each call, and never leaves unprotected (SEC-15)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from duplexcore import Metadata, MetadataLike, RpcError, StatusCode

__all__ = ["CallCredentials", "made_by"]

#: Called with the service's URL, ``https://host/package.Service``, and the method's name; gives metadata.
CallCredentials = Callable[[str, str], Awaitable[MetadataLike]]

#: What only a server's application may say of a call (gRFC A54, CHAN-13).
_NOT_OURS = frozenset(
    {
        StatusCode.OK,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.ABORTED,
        StatusCode.OUT_OF_RANGE,
        StatusCode.DATA_LOSS,
    }
)


async def made_by(credentials: CallCredentials, *, authority: str, path: str) -> Metadata:
    """What the credentials give for one call.

    Raises `RpcError`: as they do, but INTERNAL for a code that only a server may give (CHAN-13); UNAUTHENTICATED for
    any other exception of theirs.
    """
    service, _, method = path.rpartition("/")
    try:
        return Metadata(await credentials(f"https://{authority.removesuffix(':443')}{service}", method))
    except RpcError as error:
        if error.code not in _NOT_OURS:
            raise
        text = f"the call credentials gave {error.status}, which only a server may"
        raise RpcError(StatusCode.INTERNAL, text, unprocessed=True) from error
    except Exception as error:
        text = f"the call credentials failed: {str(error) or type(error).__name__}"
        raise RpcError(StatusCode.UNAUTHENTICATED, text, unprocessed=True) from error
