"""Every decoder of bytes from outside: whatever the bytes, a value that holds its invariants or the documented error.

`python -m tests.fuzzing` goes on for as long as one likes, with coverage guidance.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.fuzzing.corpus import findings, inputs
from tests.fuzzing.mutations import mutated
from tests.fuzzing.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = 300
"""Mutated inputs of each target: some seconds for all."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_gives_what_it_promises_or_its_own_error(name: str) -> None:
    target, corpus = TARGETS[name], inputs(name)
    chance = random.Random(name)  # noqa: S311 - so that the test repeats
    for data in corpus:
        target.check(data)
    for _ in range(INPUTS):
        data = mutated(chance.choice(corpus), chance, corpus, packed=target.packed)
        try:
            target.check(data)
        except Exception as error:
            error.add_note(f"the input was {data!r}")
            raise


@pytest.mark.parametrize(("name", "path"), [(name, path) for name in TARGETS for path in findings(name)], ids=str)
def test_what_was_once_found_is_not_found_again(name: str, path: Path) -> None:
    """Each is an input over which a decoder raised another error, or gave a value that broke its invariants."""
    TARGETS[name].check(path.read_bytes())
