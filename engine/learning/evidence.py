"""What a losses table says about whether a row's label is wrong: figures and kinds of rows that decisions can weigh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..arrays import Floats, Floats32, Ints
from ..table.losses import LossesTable

_MOST_KINDS = 64
"""Labels, and pairs of labels, that have a weight of their own; the most frequent ones."""
_MOST_PROBABILITIES = 32
"""Classes whose probabilities are figures; those that are given most often."""
_LEAST_LOG_P = -12.0
_MOST_LOG_ODDS = 15.0
_PIECE_ROWS, _PIECE_CELLS = 65_536, 4_000_000
"""Rows, and probabilities, in memory at once."""
_REST = -1
"""Code of a rare label or pair."""


@dataclass(frozen=True)
class Evidence:
    """The n rows with a loss, highest loss first, ties by id."""

    ids: Ints
    """(n,) `id` in the losses table."""
    given: Ints
    """(n,) places of the given labels in `labels`."""
    labels: tuple[str, ...]
    """The given labels that occur, sorted; of sets of labels, the worst ones."""
    log_odds: Floats
    """(n,) that the label is wrong, if the loss is all that counts: log((1 − p) / p) of the given label."""
    figures: Floats32
    """(n, d), each column with mean 0 and deviation 1."""
    kinds: tuple[Ints, ...]
    """(n,) numbers from 0 by given label, by prediction and by the pair of both; below 0 for rare ones."""

    def __len__(self) -> int:
        return len(self.ids)


def gather_evidence(losses: LossesTable) -> Evidence:
    """The evidence of a losses table of any version; one with the probabilities of all classes has more figures.

    A row with a set of labels counts by its worst label, which the model would add or drop. Raises LossAuditError if
    the table's file can't be read.
    """
    own = ["id", "loss", "probability", *_name_columns(losses)]
    pieces = [_named(_ranked(piece), losses) for piece in losses.pieces(own, _PIECE_ROWS)]
    table = pa.concat_tables(pieces).combine_chunks()
    order = pc.sort_indices(table, sort_keys=[("loss", "descending"), ("id", "ascending")]).to_numpy()
    ids, loss, probability = (_column(table, name)[order] for name in ("id", "loss", "probability"))
    given, labels = _codes(table["given"], order)
    predicted, names = _codes(table["predicted"], order)
    agree = losses.is_multi_label | (_places(names, labels)[predicted] == given)
    own_figures = _figures(loss, probability, agree)
    frequent = np.argsort(-np.bincount(given, minlength=len(labels)), kind="stable")[:_MOST_PROBABILITIES]
    probabilities = _log_probabilities(losses, [labels[place] for place in frequent], len(order))
    figures = own_figures if probabilities is None else np.hstack([own_figures, probabilities[order]])
    pairs = given * len(names) + predicted
    kinds = tuple(_most_frequent(codes) for codes in (given, predicted, pairs))
    return Evidence(ids, given, labels, _log_odds(loss), _standardised(figures), kinds)


def _name_columns(losses: LossesTable) -> list[str]:
    return ["worst_label"] if losses.is_multi_label else ["label_name", "prediction_name"]


def _named(piece: pa.Table, losses: LossesTable) -> pa.Table:
    """A piece with the columns `given` and `predicted`; for sets, the worst label and whether the model wants it."""
    columns = piece.select(["id", "loss", "probability"])
    if losses.is_multi_label:
        wanted = pc.if_else(pc.greater_equal(piece["probability"], 0.5), "wanted", "unwanted")
        names = (piece["worst_label"], wanted)
    else:
        names = (piece["label_name"], piece["prediction_name"])
    for name, column in zip(("given", "predicted"), names, strict=True):
        columns = columns.append_column(name, column)
    return columns


def _ranked(piece: pa.Table) -> pa.Table:
    return piece.filter(pc.is_valid(piece["loss"]))


def _column(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy())


def _codes(column: pa.ChunkedArray, order: Ints) -> tuple[Ints, tuple[str, ...]]:
    """The place of each value among all that occur, sorted."""
    names = sorted(set(column.unique().to_pylist()))
    codes = pc.index_in(column, value_set=pa.array(names, pa.string())).to_numpy()
    return np.asarray(codes[order], dtype=np.int64), tuple(names)


def _places(names: Sequence[str], among: Sequence[str]) -> Ints:
    """(names,) the place of each name, below 0 for one that isn't there."""
    place_of = {name: place for place, name in enumerate(among)}
    return np.array([place_of.get(name, -1) for name in names], dtype=np.int64)


def _log_odds(loss: Floats) -> Floats:
    with np.errstate(divide="ignore", over="ignore"):
        odds = np.where(loss < _MOST_LOG_ODDS, np.log(np.expm1(np.minimum(loss, _MOST_LOG_ODDS))), loss)
    return np.asarray(np.clip(odds, -_MOST_LOG_ODDS, _MOST_LOG_ODDS), dtype=np.float64)


def _figures(loss: Floats, probability: Floats, agree: np.ndarray) -> Floats32:
    """(n, 3): the loss, and by how much the likeliest other label beats the given one, in odds and in probability."""
    of_given = np.exp(-loss)
    other = np.where(agree, 1 - of_given, probability)
    ahead = np.log(np.maximum(other, np.exp(_LEAST_LOG_P))) + np.minimum(loss, -_LEAST_LOG_P)
    return np.stack([np.minimum(loss, -_LEAST_LOG_P), ahead, other - of_given], axis=1).astype(np.float32)


def _log_probabilities(losses: LossesTable, labels: Sequence[str], rows: int) -> Floats32 | None:
    """(rows, labels) in the order of the file; None if a row lacks them, or they are nobody's."""
    known = losses.probability_names
    places = _places([label for label in labels if label in known], known)
    if not len(places):
        return None
    found, filled = np.empty((rows, len(places)), dtype=np.float32), 0
    for piece in losses.pieces(["loss", "probabilities"], min(_PIECE_ROWS, max(1, _PIECE_CELLS // len(known)))):
        column = _ranked(piece)["probabilities"]
        if column.null_count or not pc.all(pc.equal(pc.list_value_length(column), len(known)), min_count=0).as_py():
            return None
        p = pc.list_flatten(column).to_numpy().reshape(len(column), len(known))[:, places]
        found[filled : filled + len(p)] = np.log(np.maximum(p, np.exp(_LEAST_LOG_P)))
        filled += len(p)
    return found


def _standardised(figures: Floats32) -> Floats32:
    deviation = figures.std(axis=0)
    scale = np.where(deviation > 1e-6, deviation, 1.0)
    return np.asarray((figures - figures.mean(axis=0)) / scale, dtype=np.float32)


def _most_frequent(codes: Ints) -> Ints:
    found, code, rows = np.unique(codes, return_inverse=True, return_counts=True)
    kept = np.argsort(-rows, kind="stable")[:_MOST_KINDS]
    numbers = np.full(len(found), _REST)
    numbers[kept] = np.arange(len(kept))
    return np.asarray(numbers[code], dtype=np.int64)
