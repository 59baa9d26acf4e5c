"""Item nearest neighbours by BM25 weights, from `implicit`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

from implicit.nearest_neighbours import BM25Recommender
from implicit.utils import ParameterWarning
from scipy import sparse

from evaluation.systems.system import Fitted

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows

NEIGHBOURS = 50


def bm25(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """The nearest neighbours of the items that a customer holds."""
    model = BM25Recommender(K=NEIGHBOURS, num_threads=1)
    with catch_warnings():
        simplefilter("ignore", ParameterWarning)  # implicit warns that it converts the matrix
        model.fit(sparse.csr_matrix(past.held), show_progress=False)
    similarity = sparse.csr_array(model.similarity)

    def scores(rows: Rows) -> Floats:
        found: Floats = (past.held[rows] @ similarity).toarray()
        return found

    return Fitted(scores)
