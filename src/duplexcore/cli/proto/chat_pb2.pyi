from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChatInput(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ChatOutput(_message.Message):
    __slots__ = ("kind", "name", "text")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[ChatOutput.Kind]
        KIND_LINE: _ClassVar[ChatOutput.Kind]
        KIND_JOINED: _ClassVar[ChatOutput.Kind]
        KIND_LEFT: _ClassVar[ChatOutput.Kind]
        KIND_NOTICE: _ClassVar[ChatOutput.Kind]
    KIND_UNSPECIFIED: ChatOutput.Kind
    KIND_LINE: ChatOutput.Kind
    KIND_JOINED: ChatOutput.Kind
    KIND_LEFT: ChatOutput.Kind
    KIND_NOTICE: ChatOutput.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: ChatOutput.Kind
    name: str
    text: str
    def __init__(self, kind: _Optional[_Union[ChatOutput.Kind, str]] = ..., name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
