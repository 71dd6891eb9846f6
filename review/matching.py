"""Finds decided examples again in a losses table that was made anew: by another model, or after rows were added.

An example is a row with the same texts and given label, whatever its row number. Of rows that share both, the one with
the old row number comes first, then the others in the dataset's order.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lossaudit.engine.labels.alignment import spelling_key
from lossaudit.engine.table.identity import text_key
from lossaudit.engine.table.losses import LossesTable

from .examples import Example, as_texts, example_columns, example_of, examples_of

_ROWS = 4096


@dataclass(frozen=True)
class Known:
    """An example of the store: its number there, and what it is."""

    number: int
    example: Example


def found_again(known: Sequence[Known], losses: LossesTable) -> dict[int, Example]:
    """The examples as they are in a losses table, by their numbers in the store; those that it lacks are left out.

    Of examples that are the same, the earlier one in `known` is found first.
    """
    at_their_rows = examples_of(losses, {one.example.row for one in known})
    keys = {one.example.text_key for one in known} - {""}
    return found_among(known, at_their_rows, lambda: _with_these_texts(losses, keys))


def found_among(
    known: Sequence[Known], at_their_rows: Mapping[int, Example], with_their_texts: Callable[[], Iterable[Example]]
) -> dict[int, Example]:
    """The same, among other rows: those of the same numbers, by number, and those of the same texts."""
    search = _Search(known)
    search.at_their_rows(at_their_rows, str)
    if search.left():
        elsewhere = list(with_their_texts())
        search.elsewhere(elsewhere, str)
        # Another model may write the same labels in another way.
        search.at_their_rows(at_their_rows, spelling_key)
        search.elsewhere(elsewhere, spelling_key)
    return search.found


class _Search:
    """The examples that were found so far. written: how a label is compared."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._known = known
        self._taken: set[int] = set()
        self.found: dict[int, Example] = {}

    def left(self) -> list[Known]:
        return [one for one in self._known if one.number not in self.found]

    def at_their_rows(self, rows: Mapping[int, Example], written: Callable[[str], str]) -> None:
        """Where one side has no texts, the given label alone is compared."""
        for one in self.left():
            ours, there = one.example, rows.get(one.example.row)
            if there is None or there.row in self._taken or written(ours.given) != written(there.given):
                continue
            if ours.text_key == there.text_key or not ours.text_key or not there.text_key:
                self._take(one, there)

    def elsewhere(self, examples: Iterable[Example], written: Callable[[str], str]) -> None:
        free = defaultdict(list)
        for example in sorted(examples, key=lambda example: -example.row):
            if example.row not in self._taken:
                free[example.text_key, written(example.given)].append(example)
        for one in sorted(self.left(), key=lambda one: one.example.row):
            if there := free[one.example.text_key, written(one.example.given)]:
                self._take(one, there.pop())

    def _take(self, one: Known, there: Example) -> None:
        self.found[one.number] = there
        self._taken.add(there.row)


def _with_these_texts(losses: LossesTable, keys: Collection[str]) -> Iterator[Example]:
    """The rows of a losses table whose texts have one of these hashes."""
    columns = example_columns(losses)
    texts = losses.text_columns
    for batch in losses.batches(columns, _ROWS) if keys and texts else ():
        for row in batch.to_pylist():
            if text_key(as_texts(row[name] for name in texts)) in keys:
                yield example_of(row, columns)
