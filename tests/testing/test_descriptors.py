"""Descriptors: methods from files and from servers, and messages of whatever they describe."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection
from hypothesis import Phase, find, settings

from duplexcore import RpcError, StatusCode
from duplexcore.rpc import DuplexMethod, UnaryMethod
from duplexcore.testing.descriptors import (
    ChooserSource,
    DescribedMethod,
    DescriptorError,
    draw,
    methods_of,
    methods_of_file,
    reflect,
)
from duplexcore.testing.descriptors.proto.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from duplexcore.testing.sim.choosing import Recorder, TapeChooser
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.strategies import from_descriptor, messages_of
from duplexcore_anyio import Router, serve
from tests.support.described import KINDS, SERVICE, everything, file_set, old

METHODS = methods_of([everything(), old()])
EVERYTHING = METHODS[0].request
LOOK = settings(max_examples=3_000, database=None, deadline=None, phases=[Phase.generate])


def kinds(methods: list[DescribedMethod]) -> dict[str, str]:
    return {method.path: method.kind for method in methods}


ALL = dict(
    zip(
        (f"/{SERVICE}/{name}" for name in KINDS),
        ("unary", "client-streaming", "server-streaming", "duplex"),
        strict=True,
    )
)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_set_describes_all_four_kinds(tmp_path: Path) -> None:
    path = tmp_path / "set"
    path.write_bytes(file_set())
    assert kinds(methods_of_file(path)) == ALL


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xff", "is no FileDescriptorSet: make one with `protoc"),
        (b"", "describes no service"),
        (file_set()[old().ByteSize() + 3 :], "protoc needs --include_imports"),
    ],
    ids=["noise", "nothing", "no imports"],
)
def test_a_file_that_can_not_be_used_is_told(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "set"
    path.write_bytes(content)
    with pytest.raises(DescriptorError, match=says):
        methods_of_file(path)


def test_files_that_protobuf_refuses_are_told() -> None:
    wrong = everything()
    wrong.message_type[0].field[0].number = 0
    with pytest.raises(DescriptorError, match="can not be used"):
        methods_of([wrong, old()])
    round_about = old()
    round_about.dependency.append("fuzz/test/everything.proto")
    with pytest.raises(DescriptorError, match="imports itself"):
        methods_of([everything(), round_about])
    with pytest.raises(DescriptorError, match=r"service no\.Such is in none"):
        methods_of([everything(), old()], ["no.Such"])


# --- reflection -------------------------------------------------------------------------------------------------------


@contextmanager
def grpcio_with_reflection() -> Iterator[str]:
    """A server of grpcio: it knows v1alpha alone."""
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.DescriptorPool()
    default = descriptor_pool.Default()
    for name in ("timestamp", "duration", "any", "field_mask", "struct"):
        pool.AddSerializedFile(default.FindFileByName(f"google/protobuf/{name}.proto").serialized_pb)
    for file in (old(), everything()):
        pool.Add(file)
    server = grpc.server(ThreadPoolExecutor(2))
    reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server, pool=pool)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.mark.anyio
async def test_a_server_tells_its_methods_by_v1alpha() -> None:
    with grpcio_with_reflection() as target:
        assert kinds(await reflect(target)) == ALL


Answer = Callable[[ServerReflectionRequest], ServerReflectionResponse]


def told(request: ServerReflectionRequest) -> ServerReflectionResponse:
    """A server that sends each file alone."""
    response = ServerReflectionResponse(original_request=request)
    match request.WhichOneof("message_request"):
        case "list_services":
            response.list_services_response.service.add(name=SERVICE)
            response.list_services_response.service.add(name="grpc.reflection.v1.ServerReflection")
        case "file_containing_symbol":
            assert request.file_containing_symbol == SERVICE
            response.file_descriptor_response.file_descriptor_proto.append(everything().SerializeToString())
        case _:
            assert request.file_by_filename == old().name
            response.file_descriptor_response.file_descriptor_proto.append(old().SerializeToString())
    return response


def refused(_: ServerReflectionRequest) -> ServerReflectionResponse:
    response = ServerReflectionResponse()
    response.error_response.error_code = 5
    response.error_response.error_message = "who?"
    return response


def denied(_: ServerReflectionRequest) -> ServerReflectionResponse:
    raise RpcError(StatusCode.PERMISSION_DENIED, "not for you")


def noise(request: ServerReflectionRequest) -> ServerReflectionResponse:
    response = told(request)
    if request.file_containing_symbol:
        response.file_descriptor_response.file_descriptor_proto[:] = [b"\xff"]
    return response


async def asked(answer: Answer) -> list[DescribedMethod]:
    method = DuplexMethod(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ServerReflectionRequest, ServerReflectionResponse
    )
    router = Router()

    async def handle(call: Any) -> None:
        async for request in call:
            await call.send(answer(request))

    router.add(method, handle)
    found: list[DescribedMethod] = []
    async with serve(router, "127.0.0.1:0") as server:
        found += await reflect(server.addresses[0])
    return found


@pytest.mark.anyio
async def test_a_server_tells_its_methods_by_v1_each_file_alone() -> None:
    assert kinds(await asked(told)) == ALL


@pytest.mark.parametrize(
    ("answer", "says"),
    [(refused, "5 who[?]"), (denied, "PERMISSION_DENIED"), (noise, "what is no file")],
    ids=["refused", "denied", "noise"],
)
@pytest.mark.anyio
async def test_reflection_that_is_of_no_use_is_told(answer: Answer, says: str) -> None:
    with pytest.raises(DescriptorError, match=says):
        await asked(answer)


@pytest.mark.anyio
async def test_a_server_without_reflection_and_one_that_is_not_there_are_told() -> None:
    async with serve(Router(), "127.0.0.1:0") as server:
        target = server.addresses[0]
        with pytest.raises(DescriptorError, match="does not offer reflection, neither v1 nor v1alpha"):
            await reflect(target)
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await reflect(target, timeout=30)


# --- messages ---------------------------------------------------------------------------------------------------------


def drawn(seed: int, largest: int | None = None) -> tuple[Any, tuple[int, ...]]:
    recorder = Recorder(PrngChooser(seed))
    return draw(EVERYTHING, ChooserSource(recorder, largest)), recorder.tape


def test_the_dullest_message_is_empty_and_the_same_tape_gives_the_same_one() -> None:
    assert draw(EVERYTHING, ChooserSource(TapeChooser(()))).SerializeToString() == b""
    for seed in range(40):
        message, tape = drawn(seed)
        again = draw(EVERYTHING, ChooserSource(TapeChooser(tape)))
        assert again.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)
        assert message.IsInitialized()


@functools.cache
def many() -> list[Any]:
    return [drawn(seed)[0] for seed in range(1_000)]


def test_choosers_reach_every_field_and_every_scalar_edge() -> None:
    seen = {field.name for message in many() for field, _ in message.ListFields()}
    assert seen == {field.name for field in EVERYTHING.fields}
    numbers = {number for one in many() for number in (one.one_int64, one.one_uint64, one.one_sint32, one.one_enum)}
    assert {-(2**63), 2**63 - 1, 2**64 - 1, -(2**31), 127, 128, 2} <= numbers  # the last names no colour


def test_numbers_can_be_kept_small() -> None:
    for seed in range(60):
        message, _ = drawn(seed, largest=5)
        for field, value in message.ListFields():
            values = value if isinstance(value, list) else [value]
            if field.name.startswith(("one_", "either_")) and field.type in (1, 2, 3, 4, 5, 6, 7, 13, 15, 16, 17, 18):
                assert all(abs(one) <= 5 for one in values), field.name


EDGES: dict[str, Callable[[Any], bool]] = {
    "a message in itself": lambda one: one.itself.HasField("itself"),
    "a map of messages": lambda one: any(inner.ListFields() for inner in one.parts.values()),
    "an absent field that could be there": lambda one: one.HasField("maybe_int32") and not one.maybe_int32,
    "a required field": lambda one: one.HasField("old") and one.old.IsInitialized(),
    "a group": lambda one: one.old.HasField("within"),
    "a time at the end of the calendar": lambda one: one.timestamp.seconds == 253_402_300_799,
    "a time that is none": lambda one: one.timestamp.nanos < 0,
    "any": lambda one: one.any.type_url.endswith("Duration"),
    "an unknown field": lambda one: not one.ListFields() and one.ByteSize() > 0,
    "a long text": lambda one: len(one.one_string) > 8_000,
    "not a number": lambda one: math.isnan(one.one_float),
}


@pytest.mark.parametrize("what", EDGES)
def test_choosers_reach(what: str) -> None:
    assert any(map(EDGES[what], many()))


@pytest.mark.parametrize("what", ["a group", "a required field"])
def test_hypothesis_reaches(what: str) -> None:
    find(messages_of(EVERYTHING), EDGES[what], settings=LOOK)


def test_a_value_that_a_closed_enum_does_not_name_comes_as_an_unknown_field() -> None:
    descriptor = EVERYTHING.fields_by_name["old"].message_type
    wires = [draw(descriptor, ChooserSource(PrngChooser(seed))).SerializeToString() for seed in range(400)]
    assert any(wire.endswith(b"\x18\x06") for wire in wires)


def test_a_method_stands_for_its_requests() -> None:
    method = UnaryMethod("/a.B/C", ServerReflectionRequest, ServerReflectionResponse)
    assert isinstance(find(from_descriptor(method), lambda _: True, settings=LOOK), ServerReflectionRequest)
    message = find(from_descriptor(METHODS[0].request), lambda one: True, settings=LOOK)
    assert message.DESCRIPTOR.full_name == "fuzz.test.Everything"
