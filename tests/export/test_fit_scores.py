"""The scores of a fit: from heads alone, or from heads and the labels of the nearest texts."""

import datasets
import numpy as np
import pytest

from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.table.facts import OutOfSample
from lossaudit.engine.table.losses import LossesTable
from lossaudit.export.fitting import Fit, check_target

WORDS = {"money": "bank shares profit oil", "sport": "team cup striker coach", "science": "probe ice planet chip"}
OPTIONS = AuditOptions(precision="fp32", tune=False)


@pytest.fixture(scope="module")
def texts():
    """120 texts of three topics, of which five carry another topic's label and three none."""
    draw = np.random.default_rng(4)
    topics = [list(WORDS)[n % 3] for n in range(120)]
    given = [list(WORDS)[(n + 1) % 3] if n % 25 == 7 else topic for n, topic in enumerate(topics)]
    given[60:63] = [None] * 3
    return {"text": [" ".join(draw.choice(WORDS[t].split(), size=8)) for t in topics], "label": given}


def losses_of(encoder_folder, columns, target, **arguments):
    prepared = Fit(Bundle.load(encoder_folder), datasets.Dataset.from_dict(columns), OPTIONS, **arguments)
    with prepared.keep_parts(check_target(target)) as kept:
        fitted = prepared.run(kept, target)
        kept.discard()
    return fitted, LossesTable.open(target / "losses.parquet")


def test_heads_and_neighbours_find_the_wrong_labels(encoder_folder, texts, tmp_path):
    fitted, losses = losses_of(encoder_folder, texts, tmp_path / "out")
    own, neighbours = fitted.weights
    assert own >= 0.1
    assert neighbours > 0
    assert losses.facts.out_of_sample == OutOfSample(5, 0, "blend", (own, neighbours))
    assert len({*losses.top(5)["id"].to_pylist()} & {7, 32, 57, 82, 107}) >= 4


def test_the_score_decides_the_order_and_nothing_else(encoder_folder, texts, tmp_path):
    tables = []
    for score in ("loss", "blend"):
        fitted, losses = losses_of(encoder_folder, texts, tmp_path / score, score=score)
        tables.append(losses.top(120).sort_by("id"))
        assert (fitted.weights is None) == (score == "loss")
    loss, blend = tables
    assert loss["loss"].to_pylist() != blend["loss"].to_pylist()
    for column in ("id", "label", "text", "tokens", "status"):
        assert loss[column].to_pylist() == blend[column].to_pylist()


def test_rows_without_a_label_are_predicted_and_not_ranked(encoder_folder, texts, tmp_path):
    import pyarrow.parquet as pq

    losses_of(encoder_folder, texts, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "losses.parquet").sort_by("id").slice(60, 3)
    assert rows["loss"].to_pylist() == [None] * 3
    assert set(rows["status"].to_pylist()) == {"missing_label"}
    assert set(rows["prediction_name"].to_pylist()) <= set(WORDS)


def test_another_score_is_refused(encoder_folder, texts, refused):
    with refused("no score 'margin'", "'blend'", "'loss'"):
        Fit(Bundle.load(encoder_folder), datasets.Dataset.from_dict(texts), OPTIONS, score="margin")
