"""The inputs that fuzzing begins with: small ones that reach far into each decoder, and those of past findings."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FINDINGS = Path(__file__).parent / "findings"


def inputs(target: str) -> list[bytes]:
    """The corpus of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def findings(target: str) -> list[Path]:
    """Inputs of a target that once failed."""
    return sorted(FINDINGS.glob(f"{target}-*"))
