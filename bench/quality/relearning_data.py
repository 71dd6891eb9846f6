"""Labels with known mistakes for the bench of learned orders: five sets of real ones, and planted ones."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lossaudit.engine.scores.loss import log_softmax, score
from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.losses import LossesTable
from lossaudit.export.heads import out_of_fold_logits
from lossaudit.export.neighbours import blend

from .noise_data import SETS, mean_states, texts_and_labels
from .noise_labels import KINDS

REAL = ("trec_rules", "ag_news_rules", "yelp_rules", "youtube_rules", "chemprot_rules")
SHARES = (0.05, 0.1, 0.2, 0.3)
FOLDS, SEED = 5, 0

Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """A set of n texts whose labels are partly wrong, as `lossaudit fit` sees it."""

    kind: str
    """"real", or how the mistakes were planted."""
    name: str
    share: float | None
    """Of planted mistakes."""
    given: Ints
    right: Ints
    log_p: Floats32
    """(n, classes) of the blended heads, out of fold."""
    states: Floats32
    """(n, hidden)"""

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return self.given != self.right

    @property
    def losses(self) -> LossesTable:
        """The table that `fit` would write, without texts."""
        scores, n = score(self.log_p, self.given), len(self.given)
        names = pa.array([str(label) for label in range(self.log_p.shape[1])])
        probabilities = pa.FixedSizeListArray.from_arrays(
            pa.array(scores.probabilities.astype(np.float32).ravel()), len(names)
        )
        table = pa.table(
            {
                "id": np.arange(n),
                "label_name": names.take(pa.array(self.given)),
                "prediction_name": names.take(pa.array(scores.prediction)),
                "probability": scores.probability,
                "loss": scores.loss,
                "probabilities": probabilities.cast(pa.list_(pa.float32())),
            }
        )
        facts = Facts(labels=tuple(names.to_pylist()))
        return LossesTable.of(table.replace_schema_metadata(facts.stored_in(table.schema).metadata))


def settings(inputs: Path, work: Path, encoder: Path) -> Iterator[Setting]:
    """All settings; states and log-probabilities are computed once and kept in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    for name in REAL:
        with gzip.open(inputs / "data" / "real_noise" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        texts = [row["text"] for row in rows]
        labels = np.array([[row["label"], row["gold"]] for row in rows])
        given, right = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).T
        states = _states(texts, name, work, encoder)
        yield Setting("real", name, None, given, right, _log_p(texts, given, states, f"real-{name}", work), states)
    for name in SETS:
        texts, right = texts_and_labels(name, inputs)
        states = _states(texts, name, work, encoder)
        for kind, plant in KINDS.items():
            for share in SHARES:
                given = plant(states, right, share, SEED)
                log_p = _log_p(texts, given, states, f"{kind}-{name}-{share}", work)
                yield Setting(kind, name, share, given, right, log_p, states)


def _states(texts: list[str], name: str, work: Path, encoder: Path) -> Floats32:
    path = work / f"{name.lower().replace(' ', '-')}.npz"
    if not path.is_file():
        np.savez(path, states=mean_states(texts, encoder))
    return np.asarray(np.load(path)["states"], dtype=np.float32)


def _log_p(texts: list[str], given: Ints, states: Floats32, name: str, work: Path) -> Floats32:
    path = work / f"log-p-{name.lower().replace(' ', '-')}.npz"
    if not path.is_file():
        groups = np.unique(texts, return_inverse=True)[1]
        apart = out_of_fold_logits(states, given, groups, int(given.max()) + 1, FOLDS, SEED)
        pooled = blend(apart, states, given, groups, SEED).logits
        np.savez(path, given=given, log_p=log_softmax(pooled).astype(np.float32))
    kept = np.load(path)
    if not np.array_equal(kept["given"], given):
        raise ValueError(f"{path} is of other labels; remove it")
    return np.asarray(kept["log_p"], dtype=np.float32)
