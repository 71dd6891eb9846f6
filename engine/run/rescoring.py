"""The second pass of an exact top: scores rows of the kept parts again in fp32, and merges them in.

Rows that were scored again are kept too, in chunks, so that an interrupted audit doesn't do it twice.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..arrays import Floats, Ints
from ..model.tuning import Plan
from ..scores.exact_top import ExactTop, exact_top
from .kept_parts import KeptParts, again_stem, part_stem
from .sharding import Sharding
from .shards import OnStage, ShardJob, ShardScorer


class Rescoring:
    """The parts of an audit, and the chunks that replace some of their rows."""

    def __init__(self, job: ShardJob, kept: KeptParts, sharding: Sharding) -> None:
        """sharding: that of the whole audit, whose parts are all there."""
        self._job = job
        self._kept = kept
        self._sharding = sharding
        self._chunks: list[tuple[int, int]] = []
        """The first and the last row of each chunk."""
        self._chunk = functools.lru_cache(maxsize=4)(functools.partial(_read_chunk, kept))

    def make_exact(
        self, top: int, ranked: int, plan: Plan, on_stage: OnStage, check: Callable[[pa.Table], None]
    ) -> ExactTop:
        """Scores rows again with another plan until the top is exact.

        ranked: how many rows have a loss. check: raises if the audit has to stop at a chunk.
        """
        scorer: ShardScorer | None = None

        def rescore(ids: Ints) -> Floats:
            nonlocal scorer
            done = on_stage(f"Scoring the top {top} again", len(ids))
            found = []
            chunks = replace(self._sharding, rows=len(ids))
            for chunk_ids in np.split(ids, chunks.starts[1:]):
                chunk = self._kept.read(again_stem(len(self._chunks)))
                if chunk is not None and np.array_equal(chunk["id"].to_numpy(), chunk_ids):
                    done(len(chunk))
                    check(chunk)
                else:
                    scorer = scorer or ShardScorer(self._job, plan)
                    chunk = scorer.score_again(self._rows(chunk_ids), done)
                    check(chunk)
                    self._kept.write(again_stem(len(self._chunks)), chunk)
                self._chunks.append((int(chunk_ids[0]), int(chunk_ids[-1])))
                found.append(np.asarray(chunk["loss"].to_numpy(), dtype=np.float64))
            return np.concatenate(found)

        try:
            return exact_top(self._losses, ranked, top, rescore)
        finally:
            if scorer is not None:
                scorer.close()

    def parts(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The parts in the dataset's order, with the rows that were scored again. columns: `id` must be one."""
        for start in self._sharding.starts:
            part = self._kept.sound(part_stem(start), columns)
            last = start + len(part) - 1
            again = [
                _between(self._chunk(number, tuple(columns or ())), start, last)
                for number, (first, end) in enumerate(self._chunks)
                if first <= last and end >= start
            ]
            if again:
                replaced = pa.concat_tables(again).select(part.column_names)
                part = pa.concat_tables([_without(part, replaced["id"]), replaced]).sort_by("id")
            yield part
            pa.default_memory_pool().release_unused()

    def _losses(self) -> Iterator[tuple[Ints, Floats]]:
        """Ids and losses of each part's rows that have one."""
        for start in self._sharding.starts:
            part = self._kept.sound(part_stem(start), ["id", "loss"])
            part = part.filter(pc.is_valid(part["loss"]))
            yield np.asarray(part["id"].to_numpy()), np.asarray(part["loss"].to_numpy())
            pa.default_memory_pool().release_unused()  # thousands of parts leave as many holes

    def _rows(self, ids: Ints) -> pa.Table:
        """Whole rows of the parts, by ascending ids."""
        found = []
        for start, here in self._sharding.of_rows(ids).items():
            found.append(self._kept.sound(part_stem(start)).take(pa.array(here - start)))
        return pa.concat_tables(found)


def _read_chunk(kept: KeptParts, number: int, columns: tuple[str, ...]) -> pa.Table:
    return kept.sound(again_stem(number), list(columns) or None)


def _between(chunk: pa.Table, first: int, last: int) -> pa.Table:
    ids = chunk["id"]
    return chunk.filter(pc.and_(pc.greater_equal(ids, first), pc.less_equal(ids, last)))


def _without(part: pa.Table, ids: pa.ChunkedArray) -> pa.Table:
    return part.filter(pc.invert(pc.is_in(part["id"], value_set=ids.combine_chunks())))
