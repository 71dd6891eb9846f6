"""Scores a shard: tokenise in one call, cut into batches of like length, run them on a pool, put back in order."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.backends import Runner
from lossaudit.engine.batching import batches_by_token_budget
from lossaudit.engine.encoding import Encoded, Ids, TextEncoder

T = TypeVar("T")


@dataclass(frozen=True)
class EncodedShard:
    """The tokens of n texts, each different text once."""

    encoded: Encoded
    """The different texts, in the order of their first appearance."""
    places: Ids
    """(n,) which of them each text is."""


@dataclass(frozen=True)
class ShardLogits:
    """What the model gave for the n texts of a shard, in their order."""

    logits: NDArray[np.float32]
    """(n, classes)"""
    tokens: NDArray[np.int64]
    """(n,) tokens of each text that went through the model."""
    truncated: NDArray[np.bool_]
    """(n,) whether the text was longer than the maximum."""


def encode_shard(texts: list[str], encoder: TextEncoder) -> EncodedShard:
    """Tokenises n ≥ 1 texts; those that are the same are tokenised, and later scored, once."""
    first: dict[str, int] = {}
    places = np.fromiter((first.setdefault(text, len(first)) for text in texts), dtype=np.int64, count=len(texts))
    return EncodedShard(encoder.encode(list(first)), places)


class Scorer:
    """A runner with the threads that call it. Close it, or use it in a `with`."""

    def __init__(self, runner: Runner, workers: int, budget: int) -> None:
        """workers: batches that run at once. budget: tokens of a padded batch (see `batches_by_token_budget`)."""
        self._runner = runner
        self._budget = budget
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="score")

    def score(self, shard: EncodedShard, on_rows: Callable[[int], None] = lambda rows: None) -> ShardLogits:
        """Logits of a shard of at least one text. `on_rows` is told of each batch's rows when they are done."""
        encoded = shard.encoded
        copies = np.bincount(shard.places)
        batches = batches_by_token_budget(encoded.lengths, self._budget)
        running = {self._pool.submit(self._run, encoded, rows): rows for rows in batches}
        logits: NDArray[np.float32] | None = None
        try:
            for done in as_completed(running):
                batch, rows = done.result(), running[done]
                if logits is None:
                    logits = np.empty((len(encoded.lengths), batch.shape[1]), dtype=np.float32)
                logits[rows] = batch
                on_rows(int(copies[rows].sum()))
        except BaseException:
            for future in running:
                future.cancel()
            raise
        if logits is None:
            raise ValueError("there are no texts to score")
        places = shard.places
        return ShardLogits(logits[places], encoded.lengths[places], encoded.truncated[places])

    def _run(self, encoded: Encoded, rows: Ids) -> NDArray[np.float32]:
        return self._runner.run(*encoded.padded(rows))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, each made in another thread while the one before it is used."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        following = thread.submit(lambda: [*islice(iterator, 1)])
        while made := following.result():
            following = thread.submit(lambda: [*islice(iterator, 1)])
            yield made[0]
