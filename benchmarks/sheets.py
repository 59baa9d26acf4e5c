"""Workbooks as spreadsheets write them: texts shared, times as numbers with a style."""

from __future__ import annotations

import zipfile
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_SPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_AT_ONCE = 10_000

_XLSX = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/>'
    f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_KIND}.sharedStrings+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
    f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_SPACE}" xmlns:r="{_RELATIONS}"><sheets>'
    '<sheet name="Orders" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_RELATIONS}/styles" Target="styles.xml"/>'
    f'<Relationship Id="r3" Type="{_RELATIONS}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{_SPACE}"><cellXfs count="2"><xf numFmtId="0"/>'
    '<xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>',
}


def write_xlsx(path: Path, header: Sequence[str], rows: Iterable[Sequence[str | float]], date_column: int) -> None:
    """Write a workbook of one sheet; the numbers of `date_column` are shown as times."""
    shared: dict[str, int] = {}

    def cell(place: int, value: str | float) -> str:
        if isinstance(value, str):
            return f'<c t="s"><v>{shared.setdefault(value, len(shared))}</v></c>'
        style = ' s="1"' if place == date_column else ""
        return f"<c{style}><v>{value:g}</v></c>" if not style else f"<c{style}><v>{value!r}</v></c>"

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in _XLSX.items():
            archive.writestr(name, _DECLARATION + content)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as file:
            file.write(f'{_DECLARATION}<worksheet xmlns="{_SPACE}"><sheetData>'.encode())
            for some in _batches(chain([header], rows)):
                lines = ("".join(cell(*pair) for pair in enumerate(row)) for row in some)
                file.write("".join(f"<row>{line}</row>" for line in lines).encode())
            file.write(b"</sheetData></worksheet>")
        texts = "".join(f"<si><t>{escape(text)}</t></si>" for text in shared)
        archive.writestr("xl/sharedStrings.xml", f'{_DECLARATION}<sst xmlns="{_SPACE}">{texts}</sst>')


_Row = TypeVar("_Row")


def _batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    iterator = iter(rows)
    while some := list(islice(iterator, _AT_ONCE)):
        yield some


_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def write_ods(path: Path, header: Sequence[str], rows: Iterable[tuple[str, str, str, int, str]]) -> None:
    """Write a spreadsheet of one sheet: customer, item, time (ISO 8601), quantity and order of each row."""

    def text(value: str) -> str:
        return f'<table:table-cell office:value-type="string"><text:p>{escape(value)}</text:p></table:table-cell>'

    def line(row: tuple[str, str, str, int, str]) -> str:
        customer, item, time, quantity, order = row
        at = f'<table:table-cell office:value-type="date" office:date-value="{time}"/>'
        count = f'<table:table-cell office:value-type="float" office:value="{quantity}"/>'
        return f"<table:table-row>{text(customer)}{text(item)}{at}{count}{text(order)}</table:table-row>"

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        archive.writestr(
            "META-INF/manifest.xml",
            f'{_DECLARATION}<manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0"><manifest:file-entry '
            'manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/>'
            '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>',  # noqa: E501
        )
        with archive.open("content.xml", "w", force_zip64=True) as file:
            file.write(
                f'{_DECLARATION}<office:document-content xmlns:office="{_ODF}:office:1.0" '
                f'xmlns:table="{_ODF}:table:1.0" xmlns:text="{_ODF}:text:1.0"><office:body><office:spreadsheet>'
                '<table:table table:name="Orders">'.encode()
            )
            file.write(f"<table:table-row>{''.join(map(text, header))}</table:table-row>".encode())
            for some in _batches(rows):
                file.write("".join(map(line, some)).encode())
            file.write(b"</table:table></office:spreadsheet></office:body></office:document-content>")
