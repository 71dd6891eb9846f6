"""Apply on multi-label datasets: sets are written in the source's form, as lists, texts or 0/1 columns."""

import csv
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.apply import Change, LabelChange, apply_decisions
from lossaudit.review.store import Decision, DecisionStore

LABELS = ("World", "Sports", "Business", "Sci/Tech")
TIME = "2026-01-02T03:04:05+00:00"
TEXTS = ("the bank", "the team", "oil market", "chip network", "army talks")
GIVEN = (["World", "Business"], ["Sports"], ["Business", "Sports"], ["Sci/Tech", "World"], ["Business"])
DECISIONS = {0: ["World"], 1: ["Sports", "Sci/Tech"], 2: ["World", "Sports", "Business"], 3: "discard", 4: "keep"}


@pytest.fixture
def decided(multi_label_bundle_folder, tmp_path):
    """Audits a dataset and stores decisions: row → verdict, or set to relabel; gives the losses file."""

    def make(dataset, decisions=DECISIONS, **options):
        options = AuditOptions(precision="fp32", tune=False, **options)
        audited = Audit(Bundle.load(multi_label_bundle_folder), open_dataset(str(dataset)), options).run()
        losses = tmp_path / f"{dataset.name}.losses.parquet"
        write_table(audited.rows(), audited.schema, losses)
        with DecisionStore.open(LossesTable.open(losses)) as store:
            store.add(decision(row, said) for row, said in decisions.items())
        return losses

    return make


def decision(row, said):
    verdict, label = (said, None) if isinstance(said, str) else ("relabel", json.dumps(said))
    return Decision(row, verdict, label, "ada", "page", TIME)


@pytest.fixture
def csv_of(write_file):
    def write(header, cells, name="source.csv"):
        lines = [f"{text},{cell}" for text, cell in zip(TEXTS, cells, strict=True)]
        return write_file(name, "\n".join([f"text,{header}", *lines]) + "\n")

    return write


def labels_of(path, column="labels"):
    return [row[column] for row in csv.DictReader(path.open(newline=""))]


@pytest.mark.parametrize(
    ("between", "written"),
    [
        (";", ["World", "Sports;Sci/Tech", "Business;Sports;World", "Business"]),
        (" | ", ["World", "Sports | Sci/Tech", "Business | Sports | World", "Business"]),
    ],
)
def test_texts_keep_their_separator_and_order(between, written, decided, csv_of, tmp_path):
    source = csv_of("labels", [between.join(given) for given in GIVEN])
    out = tmp_path / "cleaned.csv"
    cleaned = apply_decisions(decided(source), out)
    assert labels_of(out) == written
    assert (cleaned.relabelled, cleaned.discarded, cleaned.kept, cleaned.written) == (3, 1, 1, 4)


def test_texts_of_indices_stay_indices(decided, csv_of, tmp_path):
    source = csv_of("labels", ["0; 2", "1", "2; 1", "3; 0", "2"])
    apply_decisions(decided(source), tmp_path / "cleaned.csv")
    assert labels_of(tmp_path / "cleaned.csv") == ["0", "1; 3", "2; 1; 0", "2"]


def test_commas_between_labels_are_quoted_in_csv(decided, csv_of, tmp_path):
    source = csv_of("labels", ['"World, Business"', "Sports", '"Business, Sports"', '"Sci/Tech, World"', "Business"])
    apply_decisions(decided(source), tmp_path / "cleaned.csv")
    assert labels_of(tmp_path / "cleaned.csv") == ["World", "Sports, Sci/Tech", "Business, Sports, World", "Business"]


@pytest.mark.parametrize(
    ("off", "on"), [("0", "1"), ("False", "True"), ("0.0", "1.0"), ("false", "true")], ids=lambda sign: sign
)
def test_columns_of_0_and_1_keep_their_signs(off, on, decided, csv_of, tmp_path):
    cells = [",".join(on if label in given else off for label in LABELS) for given in GIVEN]
    out = tmp_path / "cleaned.csv"
    apply_decisions(decided(csv_of(",".join(LABELS), cells)), out, review_columns=True)
    rows = list(csv.DictReader(out.open(newline="")))
    found = [[label for label in LABELS if row[label] == on] for row in rows]
    assert found == [["World"], ["Sports", "Sci/Tech"], ["World", "Sports", "Business"], ["Business"]]
    assert {row[label] for row in rows for label in LABELS} == {off, on}
    assert [row["label_original"] for row in rows] == ["World, Business", "Sports", "Sports, Business", "Business"]
    assert [row["review"] for row in rows] == ["relabel", "relabel", "relabel", "keep"]


def test_a_label_that_no_row_had_is_written_as_the_others(decided, csv_of, tmp_path):
    source = csv_of(",".join(LABELS), ["1.0,0.0,0.0,0.0"] * 5)
    apply_decisions(decided(source, {1: ["Sports"]}), tmp_path / "cleaned.csv")
    rows = list(csv.DictReader((tmp_path / "cleaned.csv").open(newline="")))
    assert [rows[1][label] for label in LABELS] == ["0.0", "1.0", "0.0", "0.0"]


def test_a_column_called_as_one_of_the_losses_table(make_checkpoint, write_file, tmp_path):
    from lossaudit.export.exporter import export_bundle

    checkpoint = make_checkpoint(labels=("loss", "gain"), problem_type="multi_label_classification")
    bundle = Bundle.load(export_bundle(str(checkpoint), tmp_path / "bundle").folder)
    source = write_file("source.csv", "text,gain,loss\nthe bank,1,0\nthe team,0,1\n")
    audited = Audit(bundle, open_dataset(str(source)), AuditOptions(precision="fp32", tune=False)).run()
    write_table(audited.rows(), audited.schema, tmp_path / "losses.parquet")
    with DecisionStore.open(LossesTable.open(tmp_path / "losses.parquet")) as store:
        store.add([decision(0, ["loss"])])
    apply_decisions(tmp_path / "losses.parquet", tmp_path / "cleaned.csv")
    assert (tmp_path / "cleaned.csv").read_text() == "text,gain,loss\nthe bank,0,1\nthe team,0,1\n"


@pytest.mark.parametrize("output", ["cleaned.jsonl", "cleaned.parquet", "cleaned"])
def test_lists_of_names(output, decided, write_file, tmp_path):
    rows = [{"text": text, "labels": given} for text, given in zip(TEXTS, GIVEN, strict=True)]
    source = write_file("source.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    cleaned = apply_decisions(decided(source, {**DECISIONS, 4: []}), tmp_path / output)
    found = open_dataset(str(tmp_path / output)).take(0, 9)["labels"].to_pylist()
    assert found == [["World"], ["Sports", "Sci/Tech"], ["Business", "Sports", "World"], []]
    assert Change("World, Business", "World", 1) in cleaned.changes
    assert Change("Business", "(no label)", 1) in cleaned.changes
    assert cleaned.labels == (
        LabelChange("Business", 0, 2),
        LabelChange("Sci/Tech", 1, 0),
        LabelChange("World", 1, 0),
    )
    told = json.loads((tmp_path / f"{output}.changes.json").read_text())
    assert told["labels"][0] == {"label": "Business", "added": 0, "removed": 2}


@pytest.mark.parametrize("output", ["cleaned.jsonl", "cleaned.parquet"])
def test_lists_beside_single_labels(output, decided, write_file, tmp_path):
    given = (["World", "Business"], "Sports", ["Business", "Sports"], [], "Business")
    rows = [{"text": text, "labels": labels} for text, labels in zip(TEXTS, given, strict=True)]
    source = write_file("source.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    losses = decided(source, {0: ["World"], 1: ["Sports", "Sci/Tech"], 3: ["World"]})
    apply_decisions(losses, tmp_path / output)
    found = pq.read_table(decided(tmp_path / output, {})).sort_by("id")["labels"].to_pylist()
    assert found == [["World"], ["Sports", "Sci/Tech"], ["Sports", "Business"], ["World"], ["Business"]]


def test_lists_of_a_saved_datasets_classes(decided, tmp_path):
    names = ["Sci/Tech", "Business", "Sports", "World"]
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.List(datasets.ClassLabel(names=names))}
    )
    rows = {"text": list(TEXTS), "labels": [[names.index(label) for label in given] for given in GIVEN]}
    datasets.Dataset.from_dict(rows, features).save_to_disk(str(tmp_path / "saved"))
    apply_decisions(decided(tmp_path / "saved"), tmp_path / "cleaned", flag_discarded=True)
    cleaned = open_dataset(str(tmp_path / "cleaned"))
    assert cleaned.features["labels"] == features["labels"]
    table = cleaned.take(0, 9)
    assert table["labels"].to_pylist() == [[3], [2, 0], [1, 2, 3], [0, 3], [1]]
    assert table["discarded"].to_pylist() == [False, False, False, True, False]


def test_lists_of_0_and_1(decided, tmp_path):
    given = [[float(label in names) for label in LABELS] for names in GIVEN]
    table = pa.table({"text": list(TEXTS), "labels": pa.array(given, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "source.parquet")
    apply_decisions(decided(tmp_path / "source.parquet"), tmp_path / "cleaned.parquet")
    written = pq.read_table(tmp_path / "cleaned.parquet")
    assert written.schema.field("labels").type == pa.list_(pa.float32())
    assert written["labels"].to_pylist() == [[1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 0], [0, 0, 1, 0]]


def test_bool_columns_of_parquet(decided, tmp_path):
    columns = {label: [label in names for names in GIVEN] for label in LABELS}
    pq.write_table(pa.table({"text": list(TEXTS), **columns}), tmp_path / "source.parquet")
    out = tmp_path / "cleaned.parquet"
    apply_decisions(decided(tmp_path / "source.parquet"), out, review_columns=True)
    written = pq.read_table(out)
    assert written["Sci/Tech"].to_pylist() == [False, True, False, False]
    assert written["World"].type == pa.bool_()
    assert written["label_original"].to_pylist()[0] == "World, Business"


def test_one_label_a_row_gets_a_separator_where_there_are_more(decided, csv_of, tmp_path):
    source = csv_of("labels", ["World", "Sports", "Business", "Sci/Tech", "World"])
    apply_decisions(decided(source, {1: ["Sports", "World"], 2: []}), tmp_path / "cleaned.csv")
    assert labels_of(tmp_path / "cleaned.csv") == ["World", "Sports,World", "", "Sci/Tech", "World"]


@pytest.mark.parametrize("form", ["lists", "texts", "columns"])
def test_an_audit_of_the_cleaned_dataset_finds_the_decided_sets(form, decided, csv_of, write_file, tmp_path):
    if form == "lists":
        rows = [{"text": text, "labels": given} for text, given in zip(TEXTS, GIVEN, strict=True)]
        source = write_file("source.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    elif form == "texts":
        source = csv_of("labels", ["|".join(given) for given in GIVEN])
    else:
        source = csv_of(",".join(LABELS), [",".join(str(int(label in given)) for label in LABELS) for given in GIVEN])
    cleaned = tmp_path / f"cleaned{source.suffix}"
    apply_decisions(decided(source), cleaned)
    found = pq.read_table(decided(cleaned, {})).sort_by("id")["labels"].to_pylist()
    assert found == [["World"], ["Sports", "Sci/Tech"], ["World", "Sports", "Business"], ["Business"]]


class TestRefuses:
    """Before anything is written, and with the row."""

    def test_several_labels_in_a_number(self, decided, tmp_path, refused):
        pq.write_table(pa.table({"text": list(TEXTS), "labels": [0, 1, 2, 3, 0]}), tmp_path / "source.parquet")
        losses = decided(tmp_path / "source.parquet", {1: ["Sports", "World"], 2: ["World"]})
        with refused("row 1", "one number per row", "Sports, World"):
            apply_decisions(losses, tmp_path / "cleaned.parquet")
        assert not (tmp_path / "cleaned.parquet").exists()

    def test_a_label_whose_name_has_the_separator(self, make_checkpoint, write_file, tmp_path, refused):
        from lossaudit.export.exporter import export_bundle

        checkpoint = make_checkpoint(labels=("a", "b", "c, d"), problem_type="multi_label_classification")
        bundle = Bundle.load(export_bundle(str(checkpoint), tmp_path / "bundle").folder)
        source = write_file("source.csv", 'text,labels\nthe bank,"a, b"\nthe team,b\noil market,"b, a"\n')
        audited = Audit(bundle, open_dataset(str(source)), AuditOptions(precision="fp32", tune=False)).run()
        losses = tmp_path / "losses.parquet"
        write_table(audited.rows(), audited.schema, losses)
        with DecisionStore.open(LossesTable.open(losses)) as store:
            store.add([decision(0, ["a"]), decision(1, ["a", "c, d"])])
        with refused("row 1", "'c, d'", "has it in its name"):
            apply_decisions(losses, tmp_path / "cleaned.csv")

    def test_a_label_that_the_model_lacks(self, decided, csv_of, tmp_path, refused):
        losses = decided(csv_of(",".join(LABELS), ["1,0,0,0"] * 5), {2: ["Politics"]})
        with refused("'Politics'", "the model doesn't have"):
            apply_decisions(losses, tmp_path / "cleaned.csv")

    def test_a_list_of_fixed_length_that_is_too_short(self, decided, tmp_path, refused):
        given = pa.array([["World"], ["Sports"], ["Business"], ["World"], ["World"]], pa.list_(pa.string(), 1))
        pq.write_table(pa.table({"text": list(TEXTS), "labels": given}), tmp_path / "source.parquet")
        losses = decided(tmp_path / "source.parquet", {1: ["Sports", "World"]})
        with refused("'labels'", "can't hold the new labels"):
            apply_decisions(losses, tmp_path / "cleaned.parquet")


def test_pairs_of_texts_are_written_as_they_are(bundle_folder, write_file, tmp_path):
    source = write_file("pairs.csv", "a,b,label\nthe bank,profit rose,World\nthe team,,Sports\noil,market,Business\n")
    options = AuditOptions(precision="fp32", tune=False, text_column="a", text_pair_column="b")
    audited = Audit(Bundle.load(bundle_folder), open_dataset(str(source)), options).run()
    write_table(audited.rows(), audited.schema, tmp_path / "losses.parquet")
    with DecisionStore.open(LossesTable.open(tmp_path / "losses.parquet")) as store:
        store.add([Decision(0, "relabel", "Sports", "ada", "page", TIME)])
    apply_decisions(tmp_path / "losses.parquet", tmp_path / "cleaned.csv")
    assert (tmp_path / "cleaned.csv").read_text() == source.read_text().replace("World", "Sports")
