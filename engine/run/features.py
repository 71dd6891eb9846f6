"""Computes an encoder's states of a dataset's texts, one per row.

Shards are encoded as an audit scores them, and each finished one is kept as a part. Afterwards, all states are in a
file of float32 that is mapped into memory, so the system decides how much of it to hold.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..arrays import Floats32, Ints
from ..data.texts import texts_of
from ..errors import SAME_AGAIN, LossAuditError, Option
from ..files import write_errors
from ..model.scoring import EncodedShard, ShardLogits, encode_shard, one_ahead
from ..model.tuning import Plan
from ..table.outcomes import too_many_failed
from .kept_parts import KeptParts, part_stem
from .reading import Reading
from .sharding import Sharding
from .shards import OnRows, ShardJob, encoder_of, load_scorer

_STATE, _TEXT, _FAILURE = "state", "text", "failure"
_COUNTS = ["tokens", "unknown_tokens", "truncated"]
_NO_TEXT = -1
"""Stand-in for the number of a text where a row has none that can be encoded."""


@dataclass(frozen=True)
class States:
    """The states of n rows, in the dataset's order."""

    states: Floats32
    """(n, hidden), mapped from a file; NaN where a row has none."""
    texts: Ints
    """(n,) numbers, the same for rows whose texts are the same tokens; below 0 where a row has no state."""
    encoded: int
    """Rows that this run encoded; the others were kept from an interrupted one."""


def encode_all(job: ShardJob, plan: Plan, reading: Reading, kept: KeptParts, on_rows: OnRows) -> States:
    """Encodes the shards that aren't kept yet, then gathers all states.

    job: its bundle is the encoder's. on_rows: called with the number of rows done. Raises LossAuditError if too many
    rows fail; finished parts stay.
    """
    missing = []
    for start in reading.sharding.starts:
        part = kept.read(part_stem(start), ["truncated"])
        if part is None:
            missing.append(start)
        else:
            on_rows(len(part))
    encoded = failed = 0
    reason = ""
    for start, part in _encoded_parts(job, plan, reading, missing, on_rows):
        kept.write(part_stem(start), part)
        encoded += len(part)
        reasons = part[_FAILURE].drop_null().to_pylist()
        failed += len(reasons)
        reason = reason or "".join(reasons[:1])
        if too_many_failed(failed, len(reading.rows)):
            raise LossAuditError(
                f"the encoder fails on {failed:,} of {encoded:,} rows so far ({reason}); finished shards are kept: ",
                SAME_AGAIN,
                " to resume from them, or use another ",
                Option("provider"),
                " or another encoder",
            )
    return _gathered(reading.sharding, kept, len(job.bundle.manifest.labels), encoded)


def shard_logits(kept: KeptParts, start: int, logits: Floats32) -> ShardLogits:
    """What a graph with a head would give for the shard that starts at row `start`. logits: (its rows, classes)."""
    part = kept.sound(part_stem(start), [*_COUNTS, _FAILURE])
    tokens, unknown, truncated = (part[name].to_numpy() for name in _COUNTS)
    failed = {row: why for row, why in enumerate(part[_FAILURE].to_pylist()) if why is not None}
    return ShardLogits(logits, tokens, unknown, truncated, failed)


def _encoded_parts(
    job: ShardJob, plan: Plan, reading: Reading, starts: list[int], on_rows: OnRows
) -> Iterator[tuple[int, pa.Table]]:
    if not starts:
        return
    encoder = encoder_of(job.bundle, job.max_length, job.stride)
    tokenised = (
        (start, encode_shard(texts_of(source, job.text_columns).values, encoder))
        for start, source in reading.shards(frozenset(starts))
    )
    with load_scorer(job.bundle, plan) as scorer:
        for start, tokens in one_ahead(tokenised):
            scored = scorer.score(tokens, on_rows)
            on_rows(int((tokens.places < 0).sum()))
            yield start, _part(tokens, scored)


def _part(tokens: EncodedShard, scored: ShardLogits) -> pa.Table:
    n, hidden = scored.logits.shape
    numbers = np.append(_numbers(tokens), _NO_TEXT)[tokens.places]
    numbers[~np.isfinite(scored.logits).all(axis=1)] = _NO_TEXT
    return pa.table(
        {
            _STATE: pa.FixedSizeListArray.from_arrays(pa.array(scored.logits.ravel()), hidden),
            _TEXT: numbers,
            "tokens": scored.tokens,
            "unknown_tokens": scored.unknown,
            "truncated": scored.truncated,
            _FAILURE: pa.array([scored.failed.get(row) for row in range(n)], pa.string()),
        }
    )


def _numbers(tokens: EncodedShard) -> Ints:
    """A 63-bit number for each distinct text of a shard, from its tokens, which are all that the encoder sees."""
    encoded = tokens.encoded
    made = [hashlib.blake2b(digest_size=8) for _ in encoded.truncated]
    for text, start, length in zip(encoded.text_of, encoded.starts, encoded.lengths, strict=True):
        made[text].update(length.tobytes() + encoded.ids[start : start + length].tobytes())
    return np.array([int.from_bytes(one.digest()) >> 1 for one in made], dtype=np.int64)


def _gathered(sharding: Sharding, kept: KeptParts, hidden: int, encoded: int) -> States:
    path: Path = kept.scratch / "states"
    texts = np.empty(sharding.rows, dtype=np.int64)
    with write_errors(path):
        with path.open("wb") as file:
            for start in sharding.starts:
                part = kept.sound(part_stem(start), [_STATE, _TEXT])
                texts[start : start + len(part)] = part[_TEXT].to_numpy()
                file.write(part[_STATE].combine_chunks().flatten().to_numpy())
        states = np.memmap(path, dtype=np.float32, mode="r", shape=(sharding.rows, hidden))
    return States(states, texts, encoded)
