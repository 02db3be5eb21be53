"""What is raised: whose fault, and what it carries."""

import copy
import pickle

import pytest

from duplexcore import DuplexcoreError, LocalProtocolError, MessageTooLargeError, Metadata, RpcError, Status, StatusCode


def test_all_errors_have_one_base_and_misuse_is_told_from_outcomes() -> None:
    assert issubclass(LocalProtocolError, DuplexcoreError)
    assert issubclass(MessageTooLargeError, LocalProtocolError)
    assert issubclass(RpcError, DuplexcoreError)
    assert not issubclass(RpcError, LocalProtocolError)


@pytest.mark.req("FRM-5")
def test_a_message_too_large_has_a_status() -> None:
    error = MessageTooLargeError("a message of 9 bytes")
    assert error.status == Status(StatusCode.RESOURCE_EXHAUSTED, "a message of 9 bytes")


def test_an_rpc_error_carries_the_outcome() -> None:
    error = RpcError(
        StatusCode.NOT_FOUND,
        "no such room",
        initial_metadata=Metadata({"a": "1"}),
        trailing_metadata=Metadata({"b": "2"}),
        unprocessed=True,
    )
    assert (error.code, error.message) == (StatusCode.NOT_FOUND, "no such room")
    assert str(error) == "NOT_FOUND: no such room"
    assert error.initial_metadata.get("a") == "1"
    assert error.trailing_metadata.get("b") == "2"
    assert error.unprocessed
    plain = RpcError(Status(StatusCode.ABORTED, "why"))
    assert plain.status == Status(StatusCode.ABORTED, "why")
    assert plain.initial_metadata == plain.trailing_metadata == Metadata()
    assert plain.unprocessed is False  # the peer may have seen it


def test_an_rpc_error_takes_metadata_in_every_form_that_is_sent() -> None:
    for given in ({"B": "2"}, [("b", "2")], Metadata({"b": "2"})):
        error = RpcError(StatusCode.ABORTED, initial_metadata=given, trailing_metadata=given)
        assert error.initial_metadata == error.trailing_metadata == Metadata({"b": "2"})


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_rpc_error_can_be_copied(again) -> None:  # type: ignore[no-untyped-def]
    error = RpcError(StatusCode.NOT_FOUND, "gone", trailing_metadata=Metadata({"b": "2"}), unprocessed=True)
    other = again(error)
    assert type(other) is RpcError
    assert other.status == error.status
    assert other.trailing_metadata == error.trailing_metadata
    assert other.unprocessed
    assert str(other) == str(error)
