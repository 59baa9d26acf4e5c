"""An autoencoder with a bottleneck of 100 units, with and without a sense of time.

The story of Smith & Linden 2017 and its sequels: given whole histories to give back, a network recommends what goes
together; given histories before a date and asked for the two weeks after it, it recommends what comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.neural_network import MLPClassifier

from evaluation.systems.system import Fitted

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows

BOTTLENECK = 100
EPOCHS = 60
PATIENCE = 6
_LENGTH = 10.0  # of a history as input: with unit vectors the first layer starts out deaf
DATES = 4
"""Dates before which the time-aware network sees histories, a horizon apart, the latest kept for early stopping."""
_BATCH = 64
_CHUNK = 1024
_TOP = 6


def plain(past: Past, seed: int) -> Fitted:
    """Gives back the histories."""
    cutoff = past.cutoff_ms - past.horizon_ms
    earlier = _held_before(past, cutoff)
    epochs = _best_epochs(earlier, earlier, _question(past, cutoff), seed)
    return _fitted(past, past.held, past.held, epochs, seed)


def time_aware(past: Past, seed: int) -> Fitted:
    """Says from the histories before a date what is bought within the horizon after it."""
    dates = [past.cutoff_ms - number * past.horizon_ms for number in range(1, DATES + 1)]
    questions = [_question(past, date) for date in dates if date > past.before.time[0]]
    if not questions:
        questions = [(past.held, past.held)]  # the log is too short to have a past of its own
    train = questions[1:] or questions
    epochs = _best_epochs(*_stacked(train), questions[0], seed)
    return _fitted(past, *_stacked(questions), epochs, seed)


Question = tuple[sparse.csr_array, sparse.csr_array]


def _held_before(past: Past, date_ms: int) -> sparse.csr_array:
    return past.matrix((past.history.first < date_ms).astype(np.float32))


def _question(past: Past, date_ms: int) -> Question:
    """What customers held at a date, and what they bought within the horizon after it."""
    bought = past.bought
    here = (date_ms <= bought.time) & (bought.time < date_ms + past.horizon_ms)
    shape = past.held.shape
    answers = sparse.csr_array((np.ones(int(here.sum()), np.float32), (bought.row[here], bought.place[here])), shape)
    answers.sum_duplicates()
    answers.data[:] = 1
    return _held_before(past, date_ms), answers


def _stacked(questions: list[Question]) -> Question:
    """Questions below each other, without those that have no history or no answer."""
    asked, answers = (sparse.vstack(part, format="csr") for part in zip(*questions, strict=True))
    useful = (asked.sum(axis=1) > 0) & (answers.sum(axis=1) > 0)
    return asked[useful], answers[useful]


def _scaled(asked: sparse.csr_array) -> sparse.csr_array:
    """Histories as vectors of one length, so that long ones do not shout."""
    length = np.sqrt(asked.multiply(asked).sum(axis=1))
    return sparse.csr_array(sparse.diags_array((_LENGTH / np.maximum(length, 1)).astype(np.float32)) @ asked)


def _network(asked: sparse.csr_array, answers: sparse.csr_array, seed: int) -> MLPClassifier:
    """A network that knows nothing yet but how often each item is the answer."""
    network = MLPClassifier((BOTTLENECK,), activation="tanh", alpha=1e-4, learning_rate_init=0.001, random_state=seed)
    _epoch(network, asked, answers, np.arange(min(asked.shape[0], 1)))
    often = (np.asarray(answers.sum(axis=0)).ravel() + 0.1) / (answers.shape[0] + 1)
    network.intercepts_[-1][:] = np.log(often / (1 - np.minimum(often, 0.99)))
    return network


def _epoch(network: MLPClassifier, asked: sparse.csr_array, answers: sparse.csr_array, order: Rows) -> None:
    """Show everything once, a batch at a time."""
    for batch in np.split(order, range(_BATCH, len(order), _BATCH)):
        # scikit-learn 1.9 numbers the outputs in the answers' own type: 8 bits would mix up all but the first 127
        said = answers[batch].toarray().astype(np.int32)
        network.partial_fit(asked[batch], said, classes=np.arange(answers.shape[1]))


def _best_epochs(asked: sparse.csr_array, answers: sparse.csr_array, test: Question, seed: int) -> int:
    """After how many epochs the network answers an earlier cutoff best."""
    useful = np.flatnonzero(asked.sum(axis=1))
    asked, answers = _scaled(asked[useful]), answers[useful]
    if not len(useful):
        return 1
    network, rng = _network(asked, answers, seed), np.random.default_rng(seed)
    best, best_epoch = -1.0, 1
    for epoch in range(1, EPOCHS + 1):
        _epoch(network, asked, answers, rng.permutation(len(useful)))
        found = _hit_rate(network, *_stacked([test]))
        if found > best:
            best, best_epoch = found, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    return best_epoch


def _hit_rate(network: MLPClassifier, asked: sparse.csr_array, answers: sparse.csr_array) -> float:
    """How many customers find one of the answers among the best six they do not hold."""
    hits = 0
    for begin in range(0, asked.shape[0], _CHUNK):
        here = slice(begin, begin + _CHUNK)
        scores = np.where(asked[here].toarray() > 0, -np.inf, network.predict_proba(_scaled(asked[here])))
        best = np.argpartition(-scores, min(_TOP, scores.shape[1] - 1), axis=1)[:, :_TOP]
        new = answers[here].toarray() * (asked[here].toarray() == 0)
        hits += int(np.take_along_axis(new, best, 1).any(axis=1).sum())
    return float(hits / max(asked.shape[0], 1))


def _fitted(past: Past, asked: sparse.csr_array, answers: sparse.csr_array, epochs: int, seed: int) -> Fitted:
    useful = np.flatnonzero(asked.sum(axis=1))
    asked, answers = _scaled(asked[useful]), answers[useful]
    network, rng = _network(asked, answers, seed), np.random.default_rng(seed)
    for _ in range(epochs):
        _epoch(network, asked, answers, rng.permutation(len(useful)))

    def scores(rows: Rows) -> Floats:
        found: Floats = network.predict_proba(_scaled(past.held[rows]))
        found[rows == past.stranger] = 0
        return found

    return Fitted(scores)
