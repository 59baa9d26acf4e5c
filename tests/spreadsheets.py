"""Workbooks as old and other programs than Excel write them, with as little as a reader needs."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECTOR = 512
_FREE, _END, _TABLE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_SMALLEST_STREAM = 4096


def open_document(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """An .ods file of texts and numbers."""
    tables = "".join(
        f'<table:table table:name="{name}">'
        + "".join(f"<table:table-row>{''.join(map(_cell, row))}</table:table-row>" for row in rows)
        + "</table:table>"
        for name, rows in sheets.items()
    )
    space = "urn:oasis:names:tc:opendocument:xmlns"
    names = " ".join(f'xmlns:{name}="{space}:{name}:1.0"' for name in ("office", "table", "text"))
    body = f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{space}:manifest:1.0"/>')
        archive.writestr("content.xml", f"<office:document-content {names}>{body}</office:document-content>")
    return buffer.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
    return f'<table:table-cell office:value-type="string"><text:p>{escape(str(value))}</text:p></table:table-cell>'


def xls(rows: Sequence[Sequence[object]]) -> bytes:
    """An .xls file (BIFF8) of one sheet of texts and numbers."""
    sheet = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 6))
    for row, cells in enumerate(rows):
        for column, value in enumerate(cells):
            place = struct.pack("<HHH", row, column, 0)
            if isinstance(value, int | float):
                sheet += _record(0x0203, place + struct.pack("<d", value))
            else:
                text = str(value).encode("latin-1")
                sheet += _record(0x0204, place + struct.pack("<HB", len(text), 0) + text)
    sheet += _record(0x000A, b"")
    head = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 6))
    name = b"Orders"
    begin = len(head) + 4 + 6 + 2 + len(name) + 4
    head += _record(0x0085, struct.pack("<IBBBB", begin, 0, 0, len(name), 0) + name) + _record(0x000A, b"")
    return _compound((head + sheet).ljust(_SMALLEST_STREAM, b"\0"))


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def _compound(stream: bytes) -> bytes:
    """A compound file with one stream, as old programs of Microsoft keep their documents in."""
    sectors = -(-len(stream) // _SECTOR)
    table = [_TABLE, _END, *range(3, sectors + 2), _END]
    table += [_FREE] * (_SECTOR // 4 - len(table))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, _SMALLEST_STREAM, _END, 0, _END, 0)
    header += struct.pack("<109I", 0, *[_FREE] * 108)
    directory = _entry("Root Entry", 5, 1, _END, 0) + _entry("Workbook", 2, _FREE, 2, len(stream))
    directory += _entry("", 0, _FREE, 0, 0) * 2
    return header + struct.pack(f"<{_SECTOR // 4}I", *table) + directory + stream.ljust(sectors * _SECTOR, b"\0")


def _entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
    text = name.encode("utf-16-le")
    length = len(text) + 2 if text else 0
    return text.ljust(64, b"\0") + struct.pack("<HBBIII36xIQ", length, kind, 1, _FREE, _FREE, child, first, size)
