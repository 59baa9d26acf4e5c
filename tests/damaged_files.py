"""What may happen to a file on a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, min(len(data) // 3 + 64, len(data))):
        data[place] ^= 0x5A
    path.write_bytes(data)


def zero(path: Path) -> None:
    data = path.read_bytes()
    begin = len(data) // 3 // 512 * 512
    path.write_bytes(data[:begin] + bytes(len(data[begin : begin + 512])) + data[begin + 512 :])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()
