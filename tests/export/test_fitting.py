"""A fit: its classes, which head judges which row, what it refuses, and what it writes."""

import dataclasses

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data.rows import Rows
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.scores.loss import score
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.states import STEPS, read_states, states_path
from lossaudit.export import fitting
from lossaudit.export.fitting import Fit, check_target
from lossaudit.export.heads import out_of_fold_logits

FP32 = AuditOptions(precision="fp32", tune=False)
TOPICS = ["money", "sport", "science"]
WORDS = {"money": "bank shares profit oil", "sport": "team cup striker coach", "science": "probe ice planet chip"}


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return Bundle.load(encoder_folder)


@pytest.fixture(scope="module")
def frame():
    """90 texts of three topics; three of them carry a wrong label."""
    draw = np.random.default_rng(1)
    topics = [TOPICS[n % 3] for n in range(90)]
    texts = [
        " ".join(draw.choice(WORDS[topic].split(), size=6)) + " and the" * (n % 7) for n, topic in enumerate(topics)
    ]
    given = list(topics)
    for n in WRONG:
        given[n] = TOPICS[(n + 1) % 3]
    return {"text": texts, "label": given}


WRONG = (10, 41, 77)


@pytest.fixture
def fit(encoder, tmp_path):
    """Fits on columns, by heads alone; returns what it gives and the table by id."""

    def go(columns, folds=5, target=tmp_path / "out", **options):
        dataset = datasets.Dataset.from_dict(columns)
        prepared = Fit(encoder, dataset, dataclasses.replace(FP32, **options), folds, score="loss")
        folder = check_target(target)
        with prepared.keep_parts(folder) as kept:
            fitted = prepared.run(kept, target)
            kept.discard()
        return fitted, pq.read_table(target / "losses.parquet").sort_by("id")

    return go


class TestLosses:
    def test_wrong_labels_have_high_losses(self, fit, frame, tmp_path):
        """Even on the states of a tiny random encoder."""
        _, table = fit(frame)
        losses = table["loss"].to_numpy()
        assert losses[list(WRONG)].mean() > losses.mean()
        written = LossesTable.open(tmp_path / "out" / "losses.parquet").top(90)["loss"].to_pylist()
        assert written == sorted(losses, reverse=True)
        assert table["text"].to_pylist() == frame["text"]
        assert table["label_name"].to_pylist() == frame["label"]

    def test_each_row_is_judged_by_a_head_of_the_other_folds(self, fit, frame, monkeypatch):
        given = {}

        def spied(rows, *others):
            given.update(labels=rows.labels, groups=rows.groups)
            given["logits"] = out_of_fold_logits(rows, *others)
            return given["logits"]

        monkeypatch.setattr(fitting, "out_of_fold_logits", spied)
        _, table = fit(frame)
        names = sorted(TOPICS)
        assert given["labels"].tolist() == [names.index(label) for label in frame["label"]]
        expected = score(given["logits"], given["labels"])
        assert table["loss"].to_numpy() == pytest.approx(expected.loss)
        same = dict(zip(frame["text"], given["groups"].tolist(), strict=True))
        assert [same[text] for text in frame["text"]] == given["groups"].tolist()
        assert len(set(given["groups"].tolist())) == len(set(frame["text"]))

    def test_the_loss_of_a_repeated_text_is_not_that_of_a_head_that_saw_its_twin(self, fit, frame):
        """Of two copies with one label of their own, a head that had seen either would know it."""
        columns = {"text": [*frame["text"], "water water", "water water"], "label": [*frame["label"], "odd", "odd"]}
        _, table = fit(columns)
        assert table["prediction_name"].to_pylist()[-2:] != ["odd", "odd"]
        assert min(table["loss"].to_pylist()[-2:]) > 2

    def test_it_is_the_same_each_time(self, fit, frame):
        _, once = fit(frame)
        _, again = fit(frame)
        assert again["loss"].to_pylist() == once["loss"].to_pylist()

    def test_the_facts_say_that_it_is_out_of_sample(self, fit, frame, tmp_path, encoder):
        fit(frame, folds=3)
        facts = LossesTable.open(tmp_path / "out" / "losses.parquet").facts
        assert (facts.out_of_sample.folds, facts.out_of_sample.seed) == (3, 0)
        assert facts.labels == tuple(sorted(TOPICS))
        assert facts.model == encoder.manifest.source.name
        assert facts.precision == "fp32"
        assert facts.run.scored == 90

    def test_the_column_says_what_computed_the_states(self, fit, frame):
        _, table = fit(frame, precision="int8")
        assert set(table["precision"].to_pylist()) == {"int8"}


class TestBundle:
    def test_it_holds_a_head_of_all_rows_and_audits(self, fit, frame, tmp_path):
        fitted, _ = fit(frame)
        bundle = Bundle.load(tmp_path / "out" / "bundle")
        assert bundle == fitted.bundle
        assert bundle.manifest.labels == tuple(sorted(TOPICS))
        assert "a head fitted on 90 rows" in bundle.graph("fp32").applied
        audited = Audit(bundle, datasets.Dataset.from_dict(frame), FP32).run()
        assert audited.summary.mean_loss < fitted.audited.summary.mean_loss  # it has seen these labels

    def test_it_cuts_where_the_fit_did(self, fit, frame, tmp_path):
        fit(frame, max_length=12)
        assert Bundle.load(tmp_path / "out" / "bundle").manifest.max_length == 12


class TestClasses:
    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            (["b", "a", "c", "a"], ["a", "b", "c"]),
            (["b", "a", "B", "a "], ["B", "a"]),
            (["a", "nan", "b", "N/A"], ["a", "b"]),
            (["10.0", "2.0", "1.0", "2.0"], ["1.0", "2.0", "10.0"]),
            ([10, 2, -1, 2], ["-1", "2", "10"]),
            (["10", "2", "1", "2"], ["1", "2", "10"]),
            ([True, False, True, True], ["False", "True"]),
        ],
    )
    def test_are_the_given_values_in_an_order_that_the_rows_dont_change(self, labels, expected, encoder):
        for order in (labels, labels[::-1]):
            dataset = datasets.Dataset.from_dict({"text": ["the bank"] * 40, "label": order * 10})
            prepared = Fit(encoder, dataset, FP32)
            assert list(prepared.classes) == expected
            assert list(prepared.task.labels) == expected
            assert sum(prepared.classes.values()) == 10 * len(
                [label for label in labels if label not in ("nan", "N/A")]
            )
            assert prepared.labels.alignment.not_in_model == {}

    def test_of_a_class_label_are_its_names_in_their_order_but_for_those_without_a_row(self, encoder):
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "none", "a"])}
        )
        dataset = datasets.Dataset.from_dict({"text": ["x", "y"] * 10, "label": [2, 0] * 9 + [-1, 0]}, features)
        assert Fit(encoder, dataset, FP32).classes == {"z": 10, "a": 9}

    def test_of_several_spellings_are_one_in_losses_and_bundle(self, fit, frame, tmp_path):
        spelled = [[label, label.upper(), f" {label}", label][n % 4] for n, label in enumerate(frame["label"])]
        fitted, table = fit(frame | {"label": [*spelled[:-1], "nan"]})
        assert set(table["label_name"].to_pylist()) == {*TOPICS, None}
        assert set(table["prediction_name"].to_pylist()) <= {*TOPICS}
        assert table["status"].to_pylist()[-1] == "missing_label"
        assert fitted.bundle.manifest.labels == tuple(sorted(TOPICS))
        assert LossesTable.open(tmp_path / "out" / "losses.parquet").facts.given.values == tuple(sorted(TOPICS))

    def test_of_exact_labels_are_as_they_stand(self, encoder):
        dataset = datasets.Dataset.from_dict({"text": ["the bank"] * 40, "label": ["a", "A", "nan", "A"] * 10})
        assert Fit(encoder, dataset, FP32, exact_labels=True).classes == {"A": 20, "a": 10, "nan": 10}

    def test_of_few_rows_are_said_and_ranked(self, fit, frame, encoder):
        columns = {"text": [*frame["text"], "water ice", "vote"], "label": [*frame["label"], "odd", "spotr"]}
        assert Fit(encoder, datasets.Dataset.from_dict(columns), FP32).rare == {"odd": 1, "spotr": 1}
        _, table = fit(columns)
        assert (table["loss"].to_numpy()[-2:] > 2).all()
        assert table["status"].to_pylist()[-2:] == ["ok", "ok"]


def test_preparing_reads_the_dataset_once(frame, encoder, monkeypatch):
    read, shards = [], Rows.shards

    def counting(self, *arguments):
        for start, table in shards(self, *arguments):
            read.append(len(table))
            yield start, table

    monkeypatch.setattr(Rows, "shards", counting)
    Fit(encoder, datasets.Dataset.from_dict(frame), FP32)
    assert sum(read) == 90


class TestRows:
    def test_without_a_label_are_predicted_by_the_head_of_all_and_not_ranked(self, fit, frame, tmp_path):
        columns = {"text": [*frame["text"], "team cup coach"], "label": [*frame["label"], None]}
        fitted, table = fit(columns)
        assert table["status"].to_pylist()[-1] == "missing_label"
        assert table["loss"].to_pylist()[-1] is None
        assert fitted.audited.summary.ranked == 90
        labelled = datasets.Dataset.from_dict({"text": ["team cup coach"], "label": ["sport"]})
        audited = Audit(Bundle.load(tmp_path / "out" / "bundle"), labelled, FP32).run().table
        assert table["probabilities"].to_pylist()[-1] == pytest.approx(
            audited["probabilities"].to_pylist()[0], abs=1e-4
        )

    def test_without_a_text_fit_nothing_and_are_not_ranked(self, fit, frame):
        fitted, table = fit({"text": [*frame["text"], "", None], "label": [*frame["label"], "sport", "odd"]})
        assert table["status"].to_pylist()[-2:] == ["empty_text", "empty_text"]
        assert table["prediction"].to_pylist()[-2:] == [None, None]
        assert "a head fitted on 90 rows" in fitted.bundle.graph("fp32").applied


class TestStates:
    def test_are_kept_beside_the_losses(self, fit, frame, tmp_path):
        """In a fixed order, and none for a row without a text."""
        fit({"text": [*frame["text"], ""], "label": [*frame["label"], "sport"]})
        kept = read_states(tmp_path / "out" / "losses.parquet", np.arange(91)) / STEPS
        assert not kept[90].any()
        np.testing.assert_allclose(kept[:90].mean(axis=0), 0, atol=0.02)
        np.testing.assert_allclose(kept[:90].std(axis=0), 1, atol=0.02)

    def test_of_an_earlier_fit_go(self, fit, frame, encoder, tmp_path):
        fit(frame)
        target = tmp_path / "out"
        prepared = Fit(encoder, datasets.Dataset.from_dict(frame), FP32, keep_states=False)
        with prepared.keep_parts(check_target(target)) as kept:
            assert prepared.run(kept, target).states is None
        assert not states_path(target / "losses.parquet").exists()


class TestRefusals:
    @pytest.mark.parametrize(
        ("labels", "folds", "parts"),
        [
            (["a"] * 20, 5, ("'label' has only the label 'a'",)),
            ([None] * 20, 5, ("'label' has no labels",)),
            (["a", "b"] * 2, 5, ("only 4 rows have a label", "folds=5", "lower it")),
            (["a", "b"] * 10, 1, ("folds=1", "at least 2")),
            ([f"id {n}" for n in range(16)], 5, ("16 different values in 16 rows", "label_column")),
            ([f"id {n}" for n in range(200)], 5, ("200 different values in 200 rows", "label_column")),
            (["a", " "] * 10, 5, ("the label of row 1 is blank",)),
            ([["a"], ["b", "c"]] * 10, 5, ("the label column holds lists",)),
        ],
    )
    def test_labels_that_no_head_can_learn(self, labels, folds, parts, encoder, refused):
        dataset = datasets.Dataset.from_dict({"text": ["the bank"] * len(labels), "label": labels})
        with refused(*parts):
            Fit(encoder, dataset, FP32, folds)

    def test_fewer_different_texts_than_folds(self, fit, refused, tmp_path):
        with refused("2 different texts can't be split into 5 folds"):
            fit({"text": ["the bank", "oil"] * 10, "label": ["a", "b"] * 10})
        assert list((tmp_path / "out").glob("losses.parquet.parts/part-*")), "the states stay"

    def test_the_bundle_of_a_classifier(self, bundle_folder, refused, frame):
        with refused("bundle of a classifier", "checkpoint"):
            Fit(Bundle.load(bundle_folder), datasets.Dataset.from_dict(frame), FP32)

    def test_scikit_learn_missing(self, encoder, frame, monkeypatch, refused):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with refused("scikit-learn, which isn't installed: pip install 'lossaudit[fit]'"):
            Fit(encoder, datasets.Dataset.from_dict(frame), FP32)

    @pytest.mark.parametrize("inside", ["notes.txt", "notes/"])
    def test_a_folder_of_something_else(self, inside, tmp_path, refused):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / inside).mkdir() if inside.endswith("/") else (tmp_path / "out" / inside).write_text("x")
        with refused("holds other files"):
            check_target(tmp_path / "out")

    def test_the_losses_of_an_audit(self, bundle_folder, data_csv, tmp_path, refused):
        import lossaudit as la

        (tmp_path / "out").mkdir()
        la.audit(bundle_folder, data_csv, output=tmp_path / "out" / "losses.parquet", precision="fp32", tune=False)
        with refused("isn't from a fit"):
            check_target(tmp_path / "out")

    def test_a_file_in_its_place(self, tmp_path, refused):
        (tmp_path / "out").write_text("x")
        with refused("is not a folder"):
            check_target(tmp_path / "out")


class TestInterruptions:
    def test_what_cant_be_had_lets_go_of_the_folder(self, fit, frame, refused):
        pytest.importorskip("openvino")
        with refused("openvino only runs int8"):
            fit(frame, provider="openvino")
        fit(frame)

    def test_it_goes_on_with_the_states_that_are_there(self, fit, frame, tmp_path, monkeypatch):
        _, whole = fit(frame, target=tmp_path / "whole", shard_rows=30)
        write = fitting.write_head_bundle
        monkeypatch.setattr(fitting, "write_head_bundle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit(frame, shard_rows=30)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["losses.parquet.parts"]
        monkeypatch.setattr(fitting, "write_head_bundle", write)
        fitted, table = fit(frame, shard_rows=30)
        assert fitted.audited.scored == 0
        assert table == whole
        written = ["bundle", "losses.parquet", "losses.parquet.states.parquet"]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == written

    def test_other_labels_and_folds_use_the_same_states(self, frame, encoder):
        prepared = Fit(encoder, datasets.Dataset.from_dict(frame), FP32)
        other = Fit(encoder, datasets.Dataset.from_dict(frame), FP32, folds=3)
        assert prepared.identity == other.identity
        cut = Fit(encoder, datasets.Dataset.from_dict(frame), dataclasses.replace(FP32, max_length=10))
        assert prepared.identity != cut.identity

    def test_a_fit_may_be_run_again_on_its_own_folder(self, fit, frame, tmp_path):
        fit(frame)
        fit(frame, folds=2)
        facts = LossesTable.open(tmp_path / "out" / "losses.parquet").facts
        assert facts.out_of_sample.folds == 2
