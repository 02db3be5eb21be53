"""The strategies reach their edges, shrink to the dullest, and every codec keeps its promise over them."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, struct_pb2, wrappers_pb2
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from duplexcore import Status, StatusCode
from duplexcore.call.timeout import decode_timeout, encode_timeout
from duplexcore.compression import CompressionError, OversizedMessageError, compression_named
from duplexcore.interop.proto import interop_pb2
from duplexcore.metadata import InvalidMetadataError, decode_metadata, encode_metadata
from duplexcore.rpc import MethodKind
from duplexcore.status import decode_message, encode_message, parse_status
from duplexcore.testing import raw
from duplexcore.testing.sim.policies import Policy
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget
from duplexcore.testing.strategies import (
    HypothesisChooser,
    Violation,
    call_scripts,
    chunkings,
    from_descriptor,
    messages,
    metadata,
    peer_violations,
    schedules,
    settings_frames,
    statuses,
    timeouts,
)

LOOK = settings(max_examples=3_000, database=None, phases=[Phase.generate])
SHRINK = settings(max_examples=200, database=None)
UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1.0, "M": 60.0, "H": 3600.0}


def always(value: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("strategy", "dullest"),
    [
        (messages(), b""),
        (metadata(), []),
        (statuses(), Status()),
        (statuses(ok=False), Status(StatusCode.CANCELLED)),
        (timeouts(), 0.0),
        (settings_frames(), raw.settings()),
        (chunkings(b"abc"), [b"abc"]),
        (from_descriptor(struct_pb2.Value), struct_pb2.Value()),
    ],
    ids=["messages", "metadata", "statuses", "not ok", "timeouts", "settings", "chunkings", "protobuf"],
)
def test_shrinking_gives_the_dull_one(strategy: st.SearchStrategy[Any], dullest: Any) -> None:
    assert find(strategy, always, settings=SHRINK) == dullest


@pytest.mark.parametrize(
    ("strategy", "edge"),
    [
        *((messages(), lambda one, size=size: len(one) == size) for size in (0, 1, 4, 5, 16_384, 65_535, 65_536)),
        *((messages(100), lambda one, size=size: len(one) == size) for size in (99, 100, 101)),
        (metadata(), lambda pairs: len({name for name, _ in pairs}) < len(pairs)),
        (metadata(), lambda pairs: any(name.endswith("-bin") and b"," in value for name, value in pairs)),
        (metadata(), lambda pairs: any(not name.endswith("-bin") and "," in value for name, value in pairs)),
        (metadata(), lambda pairs: any(len(value) > 8_000 for _, value in pairs)),
        (statuses(), lambda status: status.code is StatusCode.UNAUTHENTICATED),
        (statuses(), lambda status: "%" in status.message),
        (statuses(), lambda status: any(ord(letter) > 0xFFFF for letter in status.message)),
        *((timeouts(), lambda one, unit=unit: encode_timeout(one)[-1:] == unit.encode()) for unit in UNITS),
        (timeouts(), lambda one: len(encode_timeout(one)) == 9),
        (timeouts(), math.isinf),
        (settings_frames(), lambda one: len(one) > 9 + 6),
        (chunkings(b"0123456789"), lambda pieces: len(pieces) == 10),
        (schedules(), lambda chooser: chooser.choose(200, "", ()) > 100),
    ],
)
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_edges_are_reached(strategy: st.SearchStrategy[Any], edge: Callable[[Any], bool]) -> None:
    find(strategy, edge, settings=LOOK)


# --- codecs -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("DEAD-1")
@given(timeouts())
def test_p36_a_timeout_is_never_shortened_and_less_than_a_unit_longer(seconds: float) -> None:
    text = encode_timeout(seconds)
    digits, unit = text[:-1], UNITS[text[-1:].decode()]
    assert 1 <= len(digits) <= 8
    assert int(digits) > 0
    decoded = decode_timeout(text)
    if seconds <= 99_999_999 * 3600:
        assert decoded >= seconds
        assert decoded - seconds <= unit * (1 + 1e-9)


@pytest.mark.req("DEAD-3")
@given(st.one_of(st.binary(max_size=12), st.from_regex(rb"\A[0-9]{1,12}[HMSmunx]?\Z")))
def test_p36_no_header_overflows(value: bytes) -> None:
    try:
        assert 0 <= decode_timeout(value) < math.inf
    except ValueError:
        assert not (1 <= len(value[:-1]) <= 8 and value[:-1].isdigit() and value[-1:] in b"HMSmun")


@given(metadata(), st.booleans())
def test_p45_metadata_comes_back_padded_or_not(pairs: Any, padded: bool) -> None:
    fields = encode_metadata(pairs)
    if padded:
        fields = [(name, _padded(value) if name.endswith(b"-bin") else value) for name, value in fields]
    decoded = decode_metadata(fields)
    for name, _ in pairs:
        assert decoded.all(name) == [value for key, value in pairs if key == name]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=4), st.booleans())
def test_p45_joined_binary_values_are_the_same_as_apart(values: list[bytes], padded: bool) -> None:
    encoded = [value for _, value in encode_metadata([("x-bin", value) for value in values])]
    joined = b",".join(_padded(value) if padded else value for value in encoded)
    assert decode_metadata([(b"x-bin", joined)]).all("x-bin") == values


@given(metadata(hostile=True))
def test_p45_what_is_reserved_or_can_not_be_said_is_refused(pairs: Any) -> None:
    with pytest.raises(InvalidMetadataError):
        encode_metadata(pairs)


def _padded(value: bytes) -> bytes:
    return base64.b64encode(base64.b64decode(value + b"=" * (-len(value) % 4)))


@given(st.one_of(statuses().map(lambda status: status.message), st.text()))
def test_p46_any_text_comes_back(text: str) -> None:
    encoded = encode_message(text)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert decode_message(encoded) == text.encode("utf-8", "replace").decode()


@given(st.one_of(st.binary(), st.lists(st.sampled_from((b"%", b"a", b"F", b"%4", b"\xff", b"%zz"))).map(b"".join)))
def test_p46_nothing_that_is_received_fails(value: bytes) -> None:
    assert isinstance(decode_message(value), str)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=3), st.binary(max_size=8))
def test_p46_no_status_that_is_received_fails(codes: list[bytes], message: bytes) -> None:
    assert isinstance(parse_status(codes, message), Status)


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd"])
def test_p47_messages_come_back_and_the_limit_holds(name: str) -> None:
    coding = compression_named(name)

    @settings(max_examples=60)
    @given(messages(), st.integers(0, 70_000))
    def check(message: bytes, limit: int) -> None:
        packed = coding.compress(message)
        assert coding.decompress(packed, len(message)) == message
        if limit < len(message):
            with pytest.raises(OversizedMessageError):
                coding.decompress(packed, limit)

    @settings(max_examples=60)
    @given(st.binary())
    def survive(junk: bytes) -> None:
        with contextlib.suppress(CompressionError, OversizedMessageError):
            assert len(coding.decompress(junk, 100)) <= 100

    check()
    survive()


# --- protobuf ---------------------------------------------------------------------------------------------------------

CLASSES = (
    struct_pb2.Struct,
    descriptor_pb2.FileDescriptorProto,
    wrappers_pb2.DoubleValue,
    interop_pb2.StreamingOutputCallRequest,
)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.DESCRIPTOR.name)
def test_messages_of_any_class_survive_the_wire(kind: Any) -> None:
    @settings(max_examples=40)
    @given(from_descriptor(kind, depth=2))
    def check(message: Any) -> None:
        wire = message.SerializeToString(deterministic=True)
        assert kind.FromString(wire).SerializeToString(deterministic=True) == wire

    check()


@pytest.mark.parametrize(
    ("kind", "edge"),
    [
        (struct_pb2.Value, lambda one: one.WhichOneof("kind") == "struct_value" and not one.struct_value.fields),
        (struct_pb2.Value, lambda one: any(inner.HasField("list_value") for inner in one.list_value.values)),
        (wrappers_pb2.DoubleValue, lambda one: math.isnan(one.value)),
        (struct_pb2.Struct, lambda one: len(one.fields) > 1),
        (wrappers_pb2.Int64Value, lambda one: one.value == -(2**63)),
        (wrappers_pb2.UInt64Value, lambda one: one.value == 2**64 - 1),
        (wrappers_pb2.StringValue, lambda one: any(ord(letter) > 127 for letter in one.value)),
        (descriptor_pb2.FieldDescriptorProto, lambda one: one.HasField("json_name") and not one.json_name),
        (descriptor_pb2.FieldDescriptorProto, lambda one: one.type == 11),
        (interop_pb2.SimpleRequest, lambda one: one.HasField("payload") and not one.payload.body),
    ],
)
def test_edges_of_messages_are_reached(kind: Any, edge: Callable[[Any], bool]) -> None:
    find(from_descriptor(kind), edge, settings=LOOK)


def test_required_fields_are_always_there() -> None:
    part = descriptor_pb2.UninterpretedOption.NamePart
    assert find(from_descriptor(part), always, settings=SHRINK).IsInitialized()


def test_what_is_no_message_class_is_told() -> None:
    with pytest.raises(TypeError, match="no protobuf message class"):
        from_descriptor(int)


# --- calls ------------------------------------------------------------------------------------------------------------


@given(st.data(), st.sampled_from(MethodKind))
def test_scripts_are_of_their_kind(data: st.DataObject, kind: MethodKind) -> None:
    script = data.draw(call_scripts(kind))
    if kind in (MethodKind.UNARY, MethodKind.SERVER_STREAMING):
        assert len(script.requests) == 1
    if kind in (MethodKind.UNARY, MethodKind.CLIENT_STREAMING):
        assert len(script.responses) == 1
    assert script.cancels + script.aborts + (script.timeout is not None) <= 2


def test_the_dullest_script_is_a_unary_call_that_ends_well() -> None:
    script = find(call_scripts(), always, settings=SHRINK)
    assert script.requests == script.responses == (3,)
    assert script.status is StatusCode.OK


@settings(max_examples=60)
@given(schedules())
def test_schedules_drive_the_simulator(chooser: Any) -> None:
    EngineTarget(EngineOptions(calls=2))(chooser)


@settings(max_examples=15)
@given(st.data())
def test_each_choice_may_be_drawn(data: st.DataObject) -> None:
    EngineTarget(EngineOptions(calls=1, messages=1))(HypothesisChooser(data))


@settings(max_examples=30)
@given(schedules(Policy.PCT))
def test_schedules_of_a_policy(chooser: Any) -> None:
    EngineTarget(EngineOptions(calls=2))(chooser)


def test_violations_have_names_of_their_own() -> None:
    seen: set[str] = set()

    def many(violation: Violation) -> bool:
        seen.add(violation.name)
        return len(seen) > 20

    find(peer_violations(), many, settings=LOOK)
