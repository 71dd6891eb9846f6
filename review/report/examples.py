"""Finds the rows of a losses table that a report shows with their texts, as `Example`s."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.data.arrow_types import is_text
from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import REQUIRED

from ..label_sets import NO_LABEL
from .bins import Floats, Ints
from .figures import Coder, PairFigures, pair_keys, ranked_rows

LONGEST_TEXT, LONGEST_BRIEF = 400, 160
"""Characters of a text in the example of a pair, and in a list of the worst rows."""
_TEXT_ROWS = 4096
"""Rows whose texts are in memory at once."""
_USUAL_SPECIAL_TOKENS = 2
"""Special tokens per text: nearly all tokenizers put one before the text and one after it."""


@dataclass(frozen=True)
class Example:
    """A row as the report shows it."""

    row: int
    """`id` in the losses table."""
    given: str | None
    predicted: str | None
    probability: float | None
    """Probability of the prediction."""
    loss: float | None
    text: str | None
    """Beginning of the text; None where the losses file has no texts."""
    measure: int = 0
    """Measure by which the row was found: characters of a cut text, or unknown tokens."""
    tokens: int | None = None
    text_pair: str | None = None
    """Beginning of the second text, where there is one."""
    split: str | None = None
    """Its split, if several were audited."""


def top_of_pairs(
    losses: LossesTable, coder: Coder, pairs: Sequence[PairFigures], each: int
) -> list[tuple[PairFigures, list[Example]]]:
    """For each pair, the `each` rows with the highest loss, or as many as it has; ties by id."""
    wanted = np.array([_key(coder, pair) for pair in pairs], dtype=np.int64)

    def keys_of(rows: pa.Table) -> Ints:
        return pair_keys(coder.codes(rows["label_name"]), coder.codes(rows["prediction_name"]))

    columns = ["label_name", "prediction_name"]
    return list(zip(pairs, top_of_groups(losses, columns, keys_of, wanted, each), strict=True))


def top_of_groups(
    losses: LossesTable, columns: Sequence[str], keys_of: Callable[[pa.Table], Ints], wanted: Ints, each: int
) -> list[list[Example]]:
    """For each wanted group, the `each` rows with the highest loss, or as many as it has; ties by id.

    keys_of: returns the groups, as numbers, of rows with these columns.
    """
    if not len(wanted):
        return []
    best: tuple[Ints, Floats, Ints, Ints] = (*_empty(), *_empty())  # type: ignore[assignment]
    start = 0
    for piece in losses.pieces(["id", "loss", *columns]):
        places = pa.array(np.arange(start, start + len(piece)))
        start += len(piece)
        rows = ranked_rows(piece.append_column("place", places))
        keys = keys_of(rows)
        here = np.isin(keys, wanted)
        found = (keys, *(rows[name].to_numpy() for name in ("loss", "id", "place")))
        best = _best_of_each([np.concatenate([b, f[here]]) for b, f in zip(best, found, strict=True)], each)
    keys, _, _, places_found = best
    examples = examples_at(losses, places_found)
    return [[example for example, key in zip(examples, keys, strict=True) if key == mine] for mine in wanted]


def most_cut(losses: LossesTable, n: int) -> list[Example]:
    """The n rows with the longest texts, in characters, among those that were cut; longest first."""
    text = losses.text_column
    if text is None or "truncated" not in losses.schema.names:
        return []
    worst = _Worst(n)
    for piece in _with_places(losses, ["truncated", text]):
        cut = piece.filter(pc.fill_null(piece["truncated"].cast(pa.bool_()), False))
        if not is_text(cut[text].type):
            return []
        worst.add(pc.fill_null(pc.utf8_length(cut[text]), 0).to_numpy(), cut["place"].to_numpy())
    return worst.examples(losses)


def mostly_unknown(losses: LossesTable, n: int) -> tuple[int, list[Example]]:
    """How many rows have at least half of their tokens unknown (without special ones), and the n worst of them."""
    if not {"tokens", "unknown_tokens"} <= set(losses.schema.names):
        return 0, []
    worst, total = _Worst(n), 0
    for piece in _with_places(losses, ["tokens", "unknown_tokens"]):
        unknown, tokens = (pc.fill_null(piece[name], 0).to_numpy() for name in ("unknown_tokens", "tokens"))
        mostly = (unknown > 0) & (2 * unknown >= tokens - _USUAL_SPECIAL_TOKENS)
        total += int(mostly.sum())
        worst.add(unknown[mostly], piece["place"].to_numpy()[mostly])
    return total, worst.examples(losses)


class _Worst:
    """The n rows with the highest measure, from rows added in pieces; ties by place."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._measures, self._places = _empty()

    def add(self, measures: Ints, places: Ints) -> None:
        measures, places = np.concatenate([self._measures, measures]), np.concatenate([self._places, places])
        order = np.lexsort((places, -measures))[: self._n]
        self._measures, self._places = measures[order], places[order]

    def examples(self, losses: LossesTable) -> list[Example]:
        return examples_at(losses, self._places, self._measures, LONGEST_BRIEF)


def _best_of_each(columns: "list[np.ndarray[Any, Any]]", each: int) -> "tuple[Any, Any, Any, Any]":
    """The first `each` rows of every key, highest loss first, ties by id. columns: keys, losses, ids and places."""
    keys, losses, ids, _ = columns
    order = np.lexsort((ids, -losses, keys))
    keys = keys[order]
    kept = order[np.arange(len(order)) - np.searchsorted(keys, keys) < each]
    return tuple(column[kept] for column in columns)  # type: ignore[return-value]


def examples_at(
    losses: LossesTable, places: Ints, measures: Ints | None = None, longest: int = LONGEST_TEXT
) -> list[Example]:
    """The rows at these places, in their order."""
    text, pair = losses.text_column, losses.text_pair_column
    texts = filter(None, (text, pair))
    more = [*(["tokens"] if "tokens" in losses.schema.names else []), *(["split"] if losses.has_splits else [])]
    names = [*REQUIRED, *more, *texts]
    rows = losses.take(places.tolist(), names).to_pylist()

    def named(label: str | None) -> str | None:
        return NO_LABEL if label == "" and losses.is_multi_label else label

    looked_for = [0] * len(rows) if measures is None else measures.tolist()
    return [
        Example(
            row["id"],
            named(row["label_name"]),
            named(row["prediction_name"]),
            row["probability"],
            row["loss"],
            None if text is None else shortened(str(row[text] or ""), longest),
            measure,
            row.get("tokens"),
            None if pair is None else shortened(str(row[pair] or ""), longest),
            row["split"] if losses.has_splits else None,
        )
        for row, measure in zip(rows, looked_for, strict=True)
    ]


def _with_places(losses: LossesTable, columns: list[str]) -> Iterator[pa.Table]:
    start = 0
    for batch in losses.batches(columns, _TEXT_ROWS):
        yield pa.table(batch).append_column("place", pa.array(np.arange(start, start + len(batch))))
        start += len(batch)


def _key(coder: Coder, pair: PairFigures) -> int:
    return int(pair_keys(*(coder.codes(pa.chunked_array([[name]])) for name in (pair.given, pair.predicted)))[0])


def _empty() -> tuple[Ints, Ints]:
    return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
