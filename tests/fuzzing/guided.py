"""One target under atheris: python -m tests.fuzzing.guided TARGET [options of libFuzzer] [directories of inputs]."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

_ROOT = Path(__file__).parents[2]
_PACKAGES = ["producers", "state", "streams"]
# numba compiles the bytecode of these itself
_COMPILED = [
    ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    for package in _PACKAGES
    for path in sorted((_ROOT / package).rglob("*.py"))
    if "import numba" in (text := path.read_text()) or "state.compiled" in text
]

with atheris.instrument_imports(include=_PACKAGES, exclude=_COMPILED):
    from tests.fuzzing.corpus import inputs
    from tests.fuzzing.mutations import mutated
    from tests.fuzzing.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name = sys.argv.pop(1)
    target = TARGETS[name]
    corpus = inputs(name)
    for data in corpus:  # loops are compiled and stores made with the first ones, which is no hang
        target.check(data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, chance, corpus, packed=target.packed)[:most]

    atheris.Setup(sys.argv, target.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
