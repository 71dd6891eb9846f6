"""`la.fit`: from frames, datasets and paths to out-of-sample losses and a bundle."""

import datasets
import pandas as pd
import pytest

import lossaudit as la

FP32 = {"precision": "fp32", "tune": False}


@pytest.fixture(scope="module")
def frame():
    texts = [f"{'the ' * n}{topic}" for n in range(30) for topic in ("bank shares", "team cup")]
    labels = ["money", "sport"] * 30
    return pd.DataFrame({"text": texts, "label": labels}, index=[f"row {n}" for n in range(60)])


@pytest.fixture
def fitted(encoder_folder, frame, tmp_path):
    return la.fit(encoder_folder, frame, tmp_path / "fitted", **FP32)


def test_a_frame_gets_its_index_back(fitted, frame):
    found = fitted.to_pandas()
    assert found.loc[frame.index, "text"].tolist() == frame["text"].tolist()
    assert fitted.facts["out_of_sample"]["folds"] == 5


@pytest.mark.parametrize("kind", ["dataset", "path", "bundle", "checkpoint"])
def test_every_way_in_gives_the_same(kind, fitted, encoder_folder, encoder_checkpoint, frame, tmp_path):
    frame.to_csv(tmp_path / "rows.csv", index=False)
    encoder, dataset = {
        "dataset": (encoder_folder, datasets.Dataset.from_pandas(frame, preserve_index=False)),
        "path": (encoder_folder, tmp_path / "rows.csv"),
        "bundle": (la.Bundle.load(encoder_folder), frame),
        "checkpoint": (encoder_checkpoint, frame),
    }[kind]
    again = la.fit(encoder, dataset, tmp_path / "again", **FP32)
    assert again.to_arrow()["loss"].to_pylist() == pytest.approx(fitted.to_arrow()["loss"].to_pylist())


def test_its_bundle_judges_other_rows(fitted, tmp_path):
    assert len(fitted) == 60
    bundle = la.Bundle.load(tmp_path / "fitted" / "bundle")
    assert la.score(bundle, ["the the bank shares", "the team cup"], ["money", "sport"]).loss.max() < 1


def test_an_encoder_scores_no_labels(encoder_folder):
    with pytest.raises(la.LossAuditError, match=r"`la\.fit`"):
        la.score(la.Bundle.load(encoder_folder), ["the bank"], [0])


def test_a_text_of_two_splits_is_judged_by_heads_that_saw_neither(encoder_folder, frame, tmp_path):
    """Its copy in the other split, which has the same wrong label, would vouch for it."""
    wrong = frame.iloc[[0]].assign(label="sport")
    parts = {"train": pd.concat([wrong, frame.iloc[1:]]), "test": wrong}
    losses = la.fit(encoder_folder, parts, tmp_path / "fitted", score="loss", **FP32)
    table = losses.to_pandas().set_index("id")
    assert table.loc[[0, 60], "also_in"].tolist() == ["test", "train"]
    assert table.loc[0, "loss"] == table.loc[60, "loss"], "by the same head"
    assert losses.summary().leaking_texts == 1
