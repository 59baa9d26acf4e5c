"""Python files of the project, parsed: tests that hold rules about the code read them here."""

from __future__ import annotations

import ast
import gc
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a file.

    Nothing is collected meanwhile: a future that an earlier test left to the collector logs its traceback, formatting
    that parses too, and CPython before 3.11.8 then fails with "AST constructor recursion depth mismatch".
    """
    gc.disable()
    try:
        return ast.parse(path.read_bytes())
    finally:
        gc.enable()
