"""Scores a shard: tokenises it, cuts it into batches of similar length, runs them on a pool and restores the order.

A batch that fails in the runtime is halved until the failing row is alone; the rest is scored. A text read in several
windows gets the mean of their logits (docs/losses.md).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats32, Ints
from ..data.texts import Text
from ..errors import LossAuditError, brief
from .backends import Runner
from .backends.memory import is_out_of_memory
from .batching import batches_by_token_budget
from .encoding import Encoded, Ids, TextEncoder

T = TypeVar("T")
NOT_FINITE = "the model gives NaN or infinity"
NO_TOKENS = "the tokenizer finds no tokens in it"


@dataclass(frozen=True)
class EncodedShard:
    """The tokens of n texts, or pairs of them, each distinct one once."""

    encoded: Encoded
    """The distinct texts, in the order of their first appearance."""
    places: Ids
    """(n,) which of them each row's text is; -1 for a row without a text, or with one that can't be tokenised."""
    failed: dict[int, str]
    """The rows that can't be tokenised, and why."""


@dataclass(frozen=True)
class ShardLogits:
    """What the model gave for the n rows of a shard, in their order."""

    logits: Floats32
    """(n, classes); NaN for a row without a text, or that failed."""
    tokens: Ints
    """(n,) tokens of each text that the model read, in all windows; 0 where there was none."""
    unknown: Ints
    """(n,) those of them that the tokenizer doesn't know."""
    truncated: NDArray[np.bool_]
    """(n,) whether the text was cut at the maximum."""
    failed: dict[int, str]
    """The rows that failed, and why."""


def encode_shard(texts: Sequence[Text | None], encoder: TextEncoder) -> EncodedShard:
    """Tokenises n ≥ 1 texts (None: there is none); identical ones are tokenised, and later scored, once."""
    first: dict[Text, int] = {}
    for text in texts:
        if text is not None:
            first.setdefault(text, len(first))
    try:
        encoded, reasons = encoder.encode(list(first)), {}
    except BaseException as error:  # the library's panics aren't Exceptions
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        reasons = _not_tokenised(list(first), encoder)
        first = {text: place for place, text in enumerate(text for text in first if text not in reasons)}
        encoded = encoder.encode(list(first))
    places = np.fromiter((first.get(text, -1) if text is not None else -1 for text in texts), np.int64, len(texts))
    failed = {row: reasons[text] for row, text in enumerate(texts) if text in reasons}
    return EncodedShard(encoded, places, failed)


def _not_tokenised(texts: list[Text], encoder: TextEncoder) -> dict[Text, str]:
    reasons = {}
    for text in texts:
        try:
            encoder.encode([text])
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            reasons[text] = f"the tokenizer fails: {brief(error)}"
    return reasons


class Scorer:
    """A runner with the threads that call it. Close it, or use it in a `with`."""

    def __init__(self, runner: Runner, workers: int, budget: int, classes: int) -> None:
        """workers: batches that run at once. budget: tokens of a padded batch (see `batches_by_token_budget`).
        classes: how many logits a row must get."""
        self._runner = runner
        self._budget = budget
        self._classes = classes
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="score")

    def score(self, shard: EncodedShard, on_rows: Callable[[int], None] = lambda rows: None) -> ShardLogits:
        """Logits of a shard. `on_rows` is called with the number of rows of each batch that is done.

        Raises LossAuditError if the graph doesn't give `classes` logits per row.
        """
        encoded = shard.encoded
        logits = np.full((len(encoded.lengths), self._classes), np.nan, dtype=np.float32)
        # A text's rows count as done with its first window.
        rows_of = np.zeros(len(encoded.lengths), dtype=np.int64)
        rows_of[encoded.firsts] = np.bincount(shard.places[shard.places >= 0], minlength=len(encoded.truncated))
        # In a batch, a decoder would give empty texts the logits of padding.
        empty = np.flatnonzero(encoded.lengths == 0)
        reasons = dict.fromkeys(empty.tolist(), NO_TOKENS)
        if len(empty):
            on_rows(int(rows_of[empty].sum()))
        batches = [
            windows[encoded.lengths[windows] > 0]
            for windows in batches_by_token_budget(encoded.lengths, self._budget)
            if encoded.lengths[windows[0]] > 0  # the longest
        ]
        running = {self._pool.submit(self._run, encoded, windows, logits): windows for windows in batches}
        try:
            for done in as_completed(running):
                reasons |= done.result()
                on_rows(int(rows_of[running[done]].sum()))
        except BaseException:
            for future in running:
                future.cancel()
            raise
        return _of_rows(shard, logits, reasons)

    def _run(self, encoded: Encoded, windows: Ids, into: Floats32) -> dict[int, str]:
        """Writes the logits of some windows to their places; returns those that failed, and why."""
        size = len(windows) * int(encoded.lengths[windows].max())
        if len(windows) > 1 and size > self._budget:  # memory ran out since this batch was cut
            return self._run_halves(encoded, windows, into)
        try:
            logits = self._runner.run(encoded.padded(windows))
        except Exception as error:  # whatever the runtime raises
            if len(windows) == 1:
                return {int(windows[0]): brief(error)}
            if is_out_of_memory(error):
                self._budget = min(self._budget, size // 2)  # for the rest of the run
            return self._run_halves(encoded, windows, into)
        if logits.shape != (len(windows), self._classes):
            raise LossAuditError(
                f"the graph gives logits of the shape {logits.shape} for {len(windows)} texts and {self._classes} "
                "labels; export the model again"
            )
        into[windows] = logits
        finite = np.isfinite(logits).all(axis=1)
        into[windows[~finite]] = np.nan
        return dict.fromkeys(windows[~finite].tolist(), NOT_FINITE)

    def _run_halves(self, encoded: Encoded, windows: Ids, into: Floats32) -> dict[int, str]:
        half = len(windows) // 2
        return self._run(encoded, windows[:half], into) | self._run(encoded, windows[half:], into)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _of_rows(shard: EncodedShard, logits: Floats32, reasons: dict[int, str]) -> ShardLogits:
    """From windows to texts, which get the mean of the logits, and from texts to rows."""
    encoded, places = shard.encoded, shard.places
    firsts, there = encoded.firsts, places >= 0
    sums = np.add.reduceat(logits, firsts, axis=0, dtype=np.float64)
    rows = np.full((len(places), logits.shape[1]), np.nan, dtype=np.float32)
    rows[there] = (sums / np.diff(firsts, append=len(logits))[:, None])[places[there]]
    truncated = np.zeros(len(places), dtype=np.bool_)
    truncated[there] = encoded.truncated[places[there]]

    def counted(of_windows: Ids) -> Ids:
        counts = np.zeros(len(places), dtype=np.int64)
        counts[there] = np.add.reduceat(of_windows, firsts)[places[there]]
        return counts

    # If several windows failed, the first one's reason counts.
    why = {int(encoded.text_of[window]): reasons[window] for window in sorted(reasons, reverse=True)}
    failed = shard.failed | {row: why[place] for row, place in enumerate(places.tolist()) if place in why}
    return ShardLogits(rows, counted(encoded.lengths), counted(encoded.unknown()), truncated, failed)


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, each made in another thread while the one before it is used."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        following = thread.submit(lambda: [*islice(iterator, 1)])
        while made := following.result():
            following = thread.submit(lambda: [*islice(iterator, 1)])
            yield made[0]
