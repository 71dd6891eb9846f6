"""A random sample of the rows of a losses file, whose decisions give the true share of wrong labels.

It is drawn in strata of equally many undecided rows, in proportion, and kept in a small file beside the losses. Rows
that were decided before are known, however they were chosen.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.arrays import Bools, Ints
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import file_beside
from lossaudit.engine.table.learned import fingerprint, read_learned
from lossaudit.engine.table.losses import LossesTable

from .estimate import Estimate, is_wrong
from .store import Decision, DecisionStore, store_path
from .stratified import Stratum, stratified_share

STRATA = 5
LEAST_JUDGED = 20
"""Judged rows of a sample from which there is an estimate."""
_KNOWN = -1
"""Stratum of the rows that were decided before."""
_SEED = 0
_KEY = b"lossaudit_losses"
_SCHEMA = pa.schema([("id", pa.int64()), ("stratum", pa.int8()), ("place", pa.int64())])


@dataclass(frozen=True)
class Sample:
    """All rows with a loss, some of which were drawn."""

    ids: Ints
    """(n,)"""
    strata: Ints
    """(n,) numbers from 0 to STRATA − 1; _KNOWN of rows that were decided before."""
    drawn: Ints
    """`id` of the drawn rows, in random order, so that the first of them are a sample too."""

    def estimate(self, decisions: Mapping[int, Decision]) -> "SampledShare":
        """What the decisions say of all rows."""
        strata = []
        for rows, drawn in self._strata:
            found = _judgements(decisions, drawn)
            strata.append(Stratum(rows, len(found), sum(found)))
        known = _judgements(decisions, self._known)
        done = sum(one.judged for one in strata)
        enough = done >= min(LEAST_JUDGED, len(self.drawn))
        share = stratified_share(strata, len(known), sum(known)) if enough else None
        return SampledShare(len(self.drawn), done, len(self.ids), share)

    @functools.cached_property
    def _strata(self) -> list[tuple[int, list[int]]]:
        """Of each stratum, the number of its rows, and the drawn ones."""
        drawn = self.strata[np.isin(self.ids, self.drawn)]
        ids = self.ids[np.isin(self.ids, self.drawn)]
        return [(int((self.strata == number).sum()), ids[drawn == number].tolist()) for number in range(STRATA)]

    @functools.cached_property
    def _known(self) -> list[int]:
        return list(self.ids[self.strata == _KNOWN].tolist())


@dataclass(frozen=True)
class SampledShare:
    """How far a sample is, and what it says."""

    drawn: int
    judged: int
    rows: int
    """Rows with a loss, which the share is about."""
    share: Estimate | None
    """None until enough are judged."""


def sample_path(losses_path: Path) -> Path:
    """The path of the sample of a losses file: beside it, with its whole name."""
    return losses_path.with_name(f"{losses_path.name}.sample.parquet")


def sampled(losses: LossesTable, n: int) -> Sample:
    """The sample of n rows beside a losses file; a new one is drawn if there is none, or one of another size.

    A new one counts all decisions so far as known. Raises LossAuditError if a file can't be read or written.
    """
    kept = read_sample(losses)
    if kept is not None and len(kept.drawn) == n:
        return kept
    ids = _suspicious_first(losses)
    known = np.isin(ids, _judged(losses))
    strata = strata_of(known)
    sample = Sample(ids, strata, ids[drawn_places(strata, n, _SEED)])
    _write(sample, losses.path)
    return sample


def strata_of(known: Bools) -> Ints:
    """(n,) the stratum of each row, those to look at first in the first; _KNOWN where it is known."""
    rest = np.flatnonzero(~known)
    strata = np.full(len(known), _KNOWN, dtype=np.int64)
    strata[rest] = np.arange(len(rest)) * STRATA // max(1, len(rest))
    return strata


def drawn_places(strata: Ints, n: int, seed: int) -> Ints:
    """n places of unknown rows (fewer if there are fewer), in random order, of each stratum to within one as many."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(np.flatnonzero(strata != _KNOWN))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    n = min(n, len(by_stratum))
    # Every k-th of them, from a random start: the strata are equally large.
    every = (rng.random() + np.arange(n)) * (len(by_stratum) / max(1, n))
    return rng.permutation(by_stratum[every.astype(np.int64)])


def read_sample(losses: LossesTable) -> Sample | None:
    """The sample beside a losses file; None where there is none, or that of a table which was there before.

    Raises LossAuditError if it can't be read.
    """
    path = sample_path(losses.path)
    if not path.is_file() or not losses.path.is_file():
        return None
    try:
        if (pq.read_schema(path).metadata or {}).get(_KEY) != fingerprint(losses.path).encode():
            return None
        table = pq.read_table(path).cast(_SCHEMA)
        places = table["place"].to_numpy(zero_copy_only=False)
        ids, strata = (table[name].to_numpy().astype(np.int64) for name in ("id", "stratum"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise LossAuditError(f"{path} isn't a sample, or is damaged: {brief(error)}; remove it") from error
    is_drawn = np.isfinite(places)
    return Sample(ids, strata, ids[is_drawn][np.argsort(places[is_drawn])])


def read_decided_sample(losses: LossesTable) -> SampledShare | None:
    """What the decisions about the sample beside a losses file say; None where there is none.

    Raises LossAuditError if a file can't be read.
    """
    sample = read_sample(losses)
    if sample is None or not store_path(losses.path).is_file():
        return None
    with DecisionStore.open(losses, create=False) as store:
        return sample.estimate(store.decisions())


def _suspicious_first(losses: LossesTable) -> Ints:
    """`id` of all rows with a loss, in the learned order of probabilities, or by loss."""
    pieces = [piece.filter(piece["loss"].is_valid()) for piece in losses.pieces(["id", "loss"])]
    table = pa.concat_tables(pieces).sort_by([("loss", "descending"), ("id", "ascending")])
    ids: Ints = table["id"].to_numpy()
    learned = read_learned(losses.path)
    if learned is None:
        return ids
    likely = np.nan_to_num(learned.p_wrong_of(ids).to_numpy(zero_copy_only=False))
    return ids[np.argsort(-likely, kind="stable")]


def _judged(losses: LossesTable) -> list[int]:
    if not store_path(losses.path).is_file():
        return []
    with DecisionStore.open(losses, create=False) as store:
        return [row for row, one in store.decisions().items() if one.verdict in ("relabel", "keep")]


def _write(sample: Sample, losses_path: Path) -> None:
    places = dict(zip(sample.drawn.tolist(), range(len(sample.drawn)), strict=True))
    columns = [sample.ids, sample.strata.astype(np.int8), [places.get(row) for row in sample.ids.tolist()]]
    schema = _SCHEMA.with_metadata({_KEY: fingerprint(losses_path).encode()})
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    with file_beside(sample_path(losses_path)) as beside:
        pq.write_table(pa.table(arrays, schema=schema), beside)


def _judgements(decisions: Mapping[int, Decision], rows: list[int]) -> list[bool]:
    """Whether the label is wrong, of the rows that were found wrong or right."""
    found = (decisions[row] for row in rows if row in decisions)
    return [is_wrong(one) for one in found if one.verdict in ("relabel", "keep")]
