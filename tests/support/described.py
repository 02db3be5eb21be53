"""A service of all four kinds whose messages have every kind of field, as descriptors: no generated code."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto
SERVICE = "fuzz.test.Echo"
KINDS = {"Unary": (False, False), "Collect": (True, False), "Expand": (False, True), "Duplex": (True, True)}
#: Types that stand in a oneof and as optional fields, too.
SOME_TYPES = (Field.TYPE_INT32, Field.TYPE_STRING, Field.TYPE_ENUM)
WELL_KNOWN = ("Timestamp", "Duration", "Any", "FieldMask", "Struct")


def everything() -> Any:
    """A file of proto3: each scalar type alone, repeated, optional and in a oneof, maps, an enum, a message in itself,
    well-known types; and the service."""
    file = descriptor_pb2.FileDescriptorProto(name="fuzz/test/everything.proto", package="fuzz.test", syntax="proto3")
    file.dependency.extend(f"google/protobuf/{name}.proto" for name in ("timestamp", "duration", "any", "field_mask"))
    file.dependency.extend(["google/protobuf/struct.proto", "fuzz/test/old.proto"])
    colour = file.enum_type.add(name="Colour")
    for number, name in enumerate(("NONE", "RED")):
        colour.value.add(name=name, number=number)
    message = file.message_type.add(name="Everything")
    for type_ in (one for one in Field.Type.values() if one not in (Field.TYPE_GROUP, Field.TYPE_MESSAGE)):
        lower = Field.Type.Name(type_).removeprefix("TYPE_").lower()
        made: dict[str, Any] = {"type": type_, "type_name": ".fuzz.test.Colour" if type_ == Field.TYPE_ENUM else None}
        message.field.add(name=f"one_{lower}", number=type_, label=Field.LABEL_OPTIONAL, **made)
        message.field.add(name=f"many_{lower}", number=100 + type_, label=Field.LABEL_REPEATED, **made)
        if type_ not in SOME_TYPES:
            continue
        message.field.add(name=f"either_{lower}", number=200 + type_, label=1, oneof_index=0, **made)
        message.field.add(name=f"maybe_{lower}", number=300 + type_, label=1, proto3_optional=True, **made)
    message.oneof_decl.add(name="either")
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
    within = {"type": Field.TYPE_MESSAGE, "label": Field.LABEL_OPTIONAL}
    message.field.add(name="itself", number=400, type_name=".fuzz.test.Everything", **within)
    message.field.add(name="old", number=401, type_name=".fuzz.test.Old", **within)
    for number, name in enumerate(WELL_KNOWN, 410):
        message.field.add(name=name.lower(), number=number, type_name=f".google.protobuf.{name}", **within)
    _map(message, "texts", 420, {"type": Field.TYPE_STRING})
    _map(message, "parts", 421, {"type": Field.TYPE_MESSAGE, "type_name": ".fuzz.test.Everything"})
    service = file.service.add(name="Echo")
    for name, (many_requests, many_responses) in KINDS.items():
        kind = {"client_streaming": many_requests, "server_streaming": many_responses}
        service.method.add(name=name, input_type=".fuzz.test.Everything", output_type=".fuzz.test.Everything", **kind)
    return file


def old() -> Any:
    """A file of proto2: a required field, one that is optional, a closed enum, a group."""
    file = descriptor_pb2.FileDescriptorProto(name="fuzz/test/old.proto", package="fuzz.test", syntax="proto2")
    closed = file.enum_type.add(name="Closed")
    closed.value.add(name="FIVE", number=5)
    message = file.message_type.add(name="Old")
    message.field.add(name="needed", number=1, type=Field.TYPE_INT32, label=Field.LABEL_REQUIRED)
    message.field.add(name="spare", number=2, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    message.field.add(name="closed", number=3, type=Field.TYPE_ENUM, type_name=".fuzz.test.Closed", label=1)
    group = message.nested_type.add(name="Within")
    group.field.add(name="inner", number=5, type=Field.TYPE_BOOL, label=Field.LABEL_REQUIRED)
    message.field.add(name="within", number=4, type=Field.TYPE_GROUP, type_name=".fuzz.test.Old.Within", label=1)
    return file


def file_set() -> bytes:
    """As protoc writes it, without the files that everybody has."""
    return descriptor_pb2.FileDescriptorSet(file=[old(), everything()]).SerializeToString()


def _map(message: Any, name: str, number: int, value: dict[str, Any]) -> None:
    entry = message.nested_type.add(name=f"{name.title()}Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL, **value)
    type_name = f".fuzz.test.Everything.{entry.name}"
    message.field.add(
        name=name, number=number, type=Field.TYPE_MESSAGE, type_name=type_name, label=Field.LABEL_REPEATED
    )
