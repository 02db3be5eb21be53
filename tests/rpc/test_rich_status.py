"""The rich error model, by itself; against grpcio it stands in tests/interop."""

import pytest
from google.protobuf import any_pb2
from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]

from duplexcore import Metadata, Status, StatusCode
from duplexcore.rpc import RICH_STATUS, rich_status

NOT_FOUND = Status(StatusCode.NOT_FOUND, "no such thing")


@pytest.mark.req("STAT-20")
def test_it_is_read_from_the_trailing_metadata() -> None:
    told = status_pb2.Status(code=5, message="no such thing", details=[any_pb2.Any(type_url="a/b", value=b"\0\1")])
    metadata = Metadata([("a", "b"), (RICH_STATUS, told.SerializeToString())])
    assert rich_status(NOT_FOUND, metadata) == told
    assert rich_status(NOT_FOUND, Metadata({"a": "b"})) is None


@pytest.mark.req("STAT-20")
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (status_pb2.Status(code=6).SerializeToString(), "the call ended with 5"),
        (b"\xff\xff", "is no google.rpc.Status"),
    ],
)
def test_one_that_contradicts_the_status_is_refused(value: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rich_status(NOT_FOUND, Metadata({RICH_STATUS: value}))
