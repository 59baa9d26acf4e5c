"""Messages of Protobuf as plain objects, by schemas that a registry has as text or as descriptors."""

from __future__ import annotations

import base64
import binascii
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from producers.errors import OrderError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

_COMPILES_S = 30
_MAIN = "alsobought/record.proto"
_KNOWN = re.compile(r"google/protobuf/([a-z_]+)\.proto")
_MOST_INDEXES = 32
_TIMESTAMP = "google.protobuf.Timestamp"
_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


class _Field(NamedTuple):
    """How a field of a message is read."""

    name: str
    optional: bool
    """Whether it says if it was set."""
    repeated: bool
    convert: Callable[[Any], Any] | None
    """None: its values stay as they are."""


class ProtobufDecoder:
    """Decodes messages of one schema: fields by the names that the schema gives them.

    A message begins with the place of its type in the file, as Confluent's serializers write it. Times are
    milliseconds, wrapped values themselves, enumerations names; what was not set and can tell is left out.

    Args:
        text: of the file, or its descriptor in base64, which some serializers register.
        imported: text by name of the files that it imports.

    Raises:
        RegistryError: it is no schema.
    """

    def __init__(self, text: str, imported: Mapping[str, str]) -> None:
        files = _compiled(text, imported)
        self._pool = DescriptorPool()
        for file in files:
            self._pool.Add(file)
        self._file = files[-1]
        self._fields: dict[str, list[_Field]] = {}
        self._types: dict[tuple[int, ...], tuple[type[Message], Descriptor]] = {}

    def decode(self, payload: bytes) -> Any:  # noqa: ANN401 - an object
        """The message behind a schema id.

        Raises:
            OrderError: it does not match this schema.
        """
        path, begin = _indexes(payload)
        kind, descriptor = self._types.get(path) or self._type(path)
        try:
            message = kind.FromString(payload[begin:])
        except DecodeError:
            raise OrderError(f"record is no message {descriptor.full_name} of its schema") from None
        return self._object(message, descriptor)

    def _type(self, path: tuple[int, ...]) -> tuple[type[Message], Descriptor]:
        within: Sequence[DescriptorProto] = self._file.message_type
        names = [self._file.package] if self._file.package else []
        for index in path:
            if not 0 <= index < len(within):
                raise OrderError(f"record names message {list(path)} of its schema, which has no such message")
            names.append(within[index].name)
            within = within[index].nested_type
        descriptor = self._pool.FindMessageTypeByName(".".join(names))
        found = self._types[path] = (GetMessageClass(descriptor), descriptor)
        return found

    def _object(self, message: Any, descriptor: Descriptor) -> dict[str, Any]:  # noqa: ANN401
        fields = self._fields.get(descriptor.full_name)
        if fields is None:
            fields = self._fields[descriptor.full_name] = [self._field(each) for each in descriptor.fields]
        found = {}
        for name, optional, repeated, convert in fields:
            if optional and not message.HasField(name):
                continue
            value = getattr(message, name)
            if repeated:
                found[name] = list(value) if convert is None else convert(value)
            else:
                found[name] = value if convert is None else convert(value)
        return found

    def _field(self, field: FieldDescriptor) -> _Field:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            convert = self._converter(kind.fields_by_name["value"])
            return _Field(field.name, False, True, _mapped(convert))
        convert = self._converter(field)
        if field.is_repeated and convert is not None:
            convert = _each(convert)
        return _Field(field.name, field.has_presence, field.is_repeated, convert)

    def _converter(self, field: FieldDescriptor) -> Callable[[Any], Any] | None:
        if field.enum_type is not None:
            return _named(field.enum_type)
        kind = field.message_type
        if kind is None:
            return None
        if kind.full_name == _TIMESTAMP:
            return lambda time: time.seconds * 1000 + time.nanos // 1_000_000
        if kind.full_name in _WRAPPERS:
            return lambda wrapped: wrapped.value
        return lambda message: self._object(message, kind)


def _named(kind: EnumDescriptor) -> Callable[[Any], Any]:
    names = {each.number: each.name for each in kind.values}
    return lambda number: names.get(number, number)


def _each(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: [convert(value) for value in values]


def _mapped(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return lambda values: {str(key): values[key] if convert is None else convert(values[key]) for key in values}


def _indexes(payload: bytes) -> tuple[tuple[int, ...], int]:
    """The place of a message's type in its file, and where the message begins.

    >>> _indexes(bytes([0, 8])), _indexes(bytes([4, 2, 0, 8]))
    (((0,), 1), ((1, 0), 3))
    """
    count, place = _zigzag(payload, 0)
    if count == 0:
        return (0,), place
    if not 0 < count <= _MOST_INDEXES:
        raise OrderError("record does not name its message as Confluent's serializers do")
    path = []
    for _ in range(count):
        index, place = _zigzag(payload, place)
        path.append(index)
    return tuple(path), place


def _zigzag(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 35:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place
        shift += 7
    raise OrderError("record ends before it names its message")


def _compiled(text: str, imported: Mapping[str, str]) -> Sequence[FileDescriptorProto]:
    """The descriptors of a file and those that it imports, each behind its own imports.

    Raises:
        RegistryError: there are none.
    """
    texts = {**imported, _MAIN: text}
    found = {name: _described(each) for name, each in texts.items()}
    files = {name: file for name, file in found.items() if file is not None}
    if not files:
        return _compiled_texts(texts)
    if len(files) < len(texts):
        raise RegistryError("it and those that it imports are registered in two ways, as text and as base64")
    for name, file in files.items():
        file.name = name
    known = [_known(name) for file in files.values() for name in file.dependency if name not in files]
    return [*{file.name: file for file in known}.values(), *files.values()]


def _known(name: str) -> FileDescriptorProto:
    """A file of Protobuf's own, which nobody registers."""
    module = _KNOWN.fullmatch(name)
    try:
        descriptor = importlib.import_module(f"google.protobuf.{module[1]}_pb2" if module else "").DESCRIPTOR
    except (ImportError, ValueError):
        raise RegistryError(f"it imports {name}, which is not among its references") from None
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    return file


def _compiled_texts(texts: Mapping[str, str]) -> Sequence[FileDescriptorProto]:
    """What protoc makes of some files, the last of which imports the others."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in texts.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise RegistryError(f"it imports {name!r}, which is no name of a file")
            (Path(directory) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(directory) / path).write_text(text)
        result = Path(directory) / "descriptors"
        command = [sys.executable, "-I", "-m", "grpc_tools.protoc", f"-I{directory}", "--include_imports"]
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter
                [*command, f"--descriptor_set_out={result}", _MAIN],
                capture_output=True,
                text=True,
                timeout=_COMPILES_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RegistryError(f"it is not compiled within {_COMPILES_S} s") from None
        if "No module named" in done.stderr:
            raise ImportError(name="grpcio-tools")
        if done.returncode:
            why = " ".join(done.stderr.replace(f"{directory}/", "").replace(_MAIN, "its text").split())[:300]
            raise RegistryError(f"it cannot be compiled: {why}")
        return list(FileDescriptorSet.FromString(result.read_bytes()).file)


def _described(text: str) -> FileDescriptorProto | None:
    """A file by its descriptor in base64; None: it is text."""
    try:
        return FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, DecodeError, ValueError):
        return None
