"""One target under atheris: python -m tests.fuzzing.guided TARGET [options of libFuzzer] [directories of inputs]."""

from __future__ import annotations

import random
import sys

import atheris

# numba compiles the bytecode of these itself
_COMPILED = [
    "state.compiled",
    "state.count_rows",
    "state.history_table",
    "streams.engine.deltas",
    "streams.engine.histories",
    "streams.engine.neighbourhood",
    "streams.engine.popularity",
    "streams.engine.ranking",
    "streams.engine.relatedness",
    "streams.engine.scores",
    "streams.recommendations.merge",
]

with atheris.instrument_imports(include=["producers", "state", "streams"], exclude=_COMPILED):
    from tests.fuzzing.corpus import inputs
    from tests.fuzzing.mutations import mutated
    from tests.fuzzing.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name = sys.argv.pop(1)
    target = TARGETS[name]
    corpus = inputs(name)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, chance, corpus, packed=target.packed)[:most]

    atheris.Setup(sys.argv, target.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
