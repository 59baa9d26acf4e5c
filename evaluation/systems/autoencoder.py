"""An autoencoder with a bottleneck of 100 units, time-aware or not.

As Smith & Linden 2017 and later articles tell it: a network trained to reproduce whole histories recommends what goes
together; one trained to predict, from the history before a date, the two weeks after it recommends what comes next.
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
_LENGTH = 10.0  # of a history as input: with unit vectors the first layer barely responds at first
DATES = 4
"""Number of dates, a horizon apart, to train the time-aware network on; the latest is kept for early stopping."""
_BATCH = 64
_CHUNK = 1024
_TOP = 6


def plain(past: Past, seed: int) -> Fitted:
    """A network that reproduces histories."""
    cutoff = past.cutoff_ms - past.horizon_ms
    earlier = _held_before(past, cutoff)
    epochs = _best_epochs(earlier, earlier, _example(past, cutoff), seed)
    return _fitted(past, past.held, past.held, epochs, seed)


def time_aware(past: Past, seed: int) -> Fitted:
    """A network that predicts, from the histories before a date, what is bought within the horizon after it."""
    dates = [past.cutoff_ms - number * past.horizon_ms for number in range(1, DATES + 1)]
    examples = [_example(past, date) for date in dates if date > past.before.time[0]]
    if not examples:
        examples = [(past.held, past.held)]  # the log is too short for an earlier date
    train = examples[1:] or examples
    epochs = _best_epochs(*_stacked(train), examples[0], seed)
    return _fitted(past, *_stacked(examples), epochs, seed)


Examples = tuple[sparse.csr_array, sparse.csr_array]


def _held_before(past: Past, date_ms: int) -> sparse.csr_array:
    return past.matrix((past.history.first < date_ms).astype(np.float32))


def _example(past: Past, date_ms: int) -> Examples:
    """Inputs and outputs at a date: what customers held, and what they bought within the horizon after it."""
    bought = past.bought
    here = (date_ms <= bought.time) & (bought.time < date_ms + past.horizon_ms)
    shape = past.held.shape
    answers = sparse.csr_array(
        (np.ones(int(here.sum()), np.float32), (bought.row[here], bought.candidate[here])), shape
    )
    answers.sum_duplicates()
    answers.data[:] = 1
    return _held_before(past, date_ms), answers


def _stacked(examples: list[Examples]) -> Examples:
    """Examples of several dates in one, without customers who have no history or no answer."""
    inputs, answers = (sparse.vstack(part, format="csr") for part in zip(*examples, strict=True))
    useful = (inputs.sum(axis=1) > 0) & (answers.sum(axis=1) > 0)
    return inputs[useful], answers[useful]


def _scaled(inputs: sparse.csr_array) -> sparse.csr_array:
    """Histories as vectors of equal length, so that long ones do not dominate."""
    length = np.sqrt(inputs.multiply(inputs).sum(axis=1))
    return sparse.csr_array(sparse.diags_array((_LENGTH / np.maximum(length, 1)).astype(np.float32)) @ inputs)


def _network(inputs: sparse.csr_array, answers: sparse.csr_array, seed: int) -> MLPClassifier:
    """An untrained network whose output is how often each item is the answer."""
    network = MLPClassifier((BOTTLENECK,), activation="tanh", alpha=1e-4, learning_rate_init=0.001, random_state=seed)
    _epoch(network, inputs, answers, np.arange(min(inputs.shape[0], 1)))
    often = (np.asarray(answers.sum(axis=0)).ravel() + 0.1) / (answers.shape[0] + 1)
    network.intercepts_[-1][:] = np.log(often / (1 - np.minimum(often, 0.99)))
    return network


def _epoch(network: MLPClassifier, inputs: sparse.csr_array, answers: sparse.csr_array, order: Rows) -> None:
    """Train on every example once, in batches."""
    for batch in np.split(order, range(_BATCH, len(order), _BATCH)):
        # scikit-learn 1.9 numbers the outputs in the answers' own type: 8 bits would confuse all but the first 127
        targets = answers[batch].toarray().astype(np.int32)
        network.partial_fit(inputs[batch], targets, classes=np.arange(answers.shape[1]))


def _best_epochs(inputs: sparse.csr_array, answers: sparse.csr_array, test: Examples, seed: int) -> int:
    """The number of epochs after which the network predicts an earlier cutoff best."""
    useful = np.flatnonzero(inputs.sum(axis=1))
    inputs, answers = _scaled(inputs[useful]), answers[useful]
    if not len(useful):
        return 1
    network, rng = _network(inputs, answers, seed), np.random.default_rng(seed)
    best, best_epoch = -1.0, 1
    for epoch in range(1, EPOCHS + 1):
        _epoch(network, inputs, answers, rng.permutation(len(useful)))
        found = _hit_rate(network, *_stacked([test]))
        if found > best:
            best, best_epoch = found, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    return best_epoch


def _hit_rate(network: MLPClassifier, inputs: sparse.csr_array, answers: sparse.csr_array) -> float:
    """The share of customers with an answer among the best six items that they do not hold."""
    hits = 0
    for begin in range(0, inputs.shape[0], _CHUNK):
        here = slice(begin, begin + _CHUNK)
        scores = np.where(inputs[here].toarray() > 0, -np.inf, network.predict_proba(_scaled(inputs[here])))
        best = np.argpartition(-scores, min(_TOP, scores.shape[1] - 1), axis=1)[:, :_TOP]
        new = answers[here].toarray() * (inputs[here].toarray() == 0)
        hits += int(np.take_along_axis(new, best, 1).any(axis=1).sum())
    return float(hits / max(inputs.shape[0], 1))


def _fitted(past: Past, inputs: sparse.csr_array, answers: sparse.csr_array, epochs: int, seed: int) -> Fitted:
    useful = np.flatnonzero(inputs.sum(axis=1))
    inputs, answers = _scaled(inputs[useful]), answers[useful]
    network, rng = _network(inputs, answers, seed), np.random.default_rng(seed)
    for _ in range(epochs):
        _epoch(network, inputs, answers, rng.permutation(len(useful)))

    def scores(rows: Rows) -> Floats:
        found: Floats = network.predict_proba(_scaled(past.held[rows]))
        found[rows == past.cold_row] = 0
        return found

    return Fitted(scores)
