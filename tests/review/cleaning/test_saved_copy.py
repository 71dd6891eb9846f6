"""Copies of saved datasets: what `datasets` keeps beside the rows stays, and so do the splits that weren't audited."""

import filecmp
import json

import datasets
import pytest

from lossaudit.engine.data.source import open_dataset
from lossaudit.review.cleaning.comparing import DifferentError
from lossaudit.review.cleaning.saved_copy import SavedCopy, can_be_copied
from tests.review.cleaning.making import edit_of

LABEL = datasets.ClassLabel(names=["World", "Sports", "Business"])
FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "label": LABEL, "tags": datasets.List(datasets.Value("int8"))}
)
VALUES = {"World": 0, "Sports": 1, "Business": 2}
INFO = {"description": "my data", "license": "cc0", "citation": "@x", "homepage": "https://example.org"}


def dataset(rows, **about):
    made = {
        "text": [f"text {n}" for n in range(rows)],
        "label": [n % 3 for n in range(rows)],
        "tags": [[n] for n in range(rows)],
    }
    return datasets.Dataset.from_dict(made, FEATURES, datasets.DatasetInfo(**INFO, features=FEATURES, **about))


def copied(source, tmp_path, edit, starts):
    place = tmp_path / "copy"
    form = SavedCopy(source, edit, starts)
    form.write(place, "copy")
    form.check(place, "copy")
    return place, form


def same(one, other, *files):
    return all(filecmp.cmp(one / file, other / file, shallow=False) for file in files)


def test_description_features_and_files_stay(tmp_path):
    dataset(7).save_to_disk(tmp_path / "saved", num_shards=2)
    (tmp_path / "saved" / "README.md").write_text("mine")
    (tmp_path / "saved" / "cache-0123456789abcdef.arrow").write_text("of a function")
    place, _ = copied(tmp_path / "saved", tmp_path, edit_of({1: "World", 6: "Sports"}, {2}, VALUES), {"": 0})
    assert same(tmp_path / "saved", place, "README.md", "dataset_info.json")
    assert sorted(path.name for path in place.iterdir()) == [
        "README.md",
        "data-00000-of-00002.arrow",
        "data-00001-of-00002.arrow",
        "dataset_info.json",
        "state.json",
    ]
    before, after = datasets.load_from_disk(tmp_path / "saved"), datasets.load_from_disk(place)
    assert after.info == before.info
    wanted = [row | {1: {"label": 0}, 6: {"label": 1}}.get(n, {}) for n, row in enumerate(before) if n != 2]
    assert list(after) == wanted
    assert after._fingerprint != before._fingerprint
    states = [json.loads((folder / "state.json").read_text()) for folder in (tmp_path / "saved", place)]
    assert states[0] | {"_fingerprint": ""} == states[1] | {"_fingerprint": ""}


def test_other_splits_are_copied_as_they_are(tmp_path):
    splits = datasets.DatasetDict({"train": dataset(4), "test": dataset(3)})
    splits.save_to_disk(tmp_path / "saved")
    place, form = copied(tmp_path / "saved", tmp_path, edit_of({3: "Sports"}, {0}, VALUES), {"train": 0})
    assert form.has_splits
    assert same(tmp_path / "saved", place, "dataset_dict.json")
    assert same(
        tmp_path / "saved" / "test", place / "test", "state.json", "dataset_info.json", "data-00000-of-00001.arrow"
    )
    after = datasets.load_from_disk(place)
    assert after["train"]["label"][:] == [1, 2, 1]
    assert after["train"].info == splits["train"].info
    (place / "test" / "dataset_info.json").write_text("{}")
    with pytest.raises(DifferentError, match=r"dataset_info\.json is another one"):
        form.check(place, "copy")


def test_several_audited_splits_are_numbered_through(tmp_path):
    datasets.DatasetDict({"a": dataset(3), "b": dataset(3)}).save_to_disk(tmp_path / "saved")
    place, _ = copied(tmp_path / "saved", tmp_path, edit_of({0: "Sports", 4: "World"}, {}, VALUES), {"a": 0, "b": 3})
    after = datasets.load_from_disk(place)
    assert after["a"]["label"][:] == [1, 1, 2]
    assert after["b"]["label"][:] == [0, 0, 2]


def test_split_information_counts_the_rows_that_are_left(tmp_path, write_file):
    source = write_file("source.csv", "text,label\n" + "".join(f"text {n},World\n" for n in range(5)))
    datasets.load_dataset("csv", data_files=str(source), cache_dir=str(tmp_path / "cache")).save_to_disk(
        tmp_path / "saved"
    )
    place, _ = copied(tmp_path / "saved", tmp_path, edit_of({1: "Sports"}, {0, 4}), {"train": 0})
    after = datasets.load_from_disk(place)["train"]
    assert after["label"][:] == ["Sports", "World", "World"]
    assert after.info.splits["train"].num_examples == 3
    before = (tmp_path / "saved" / "train" / "dataset_info.json").read_text()
    assert (place / "train" / "dataset_info.json").read_text() == before.replace(
        '"num_examples": 5', '"num_examples": 3'
    )


def test_added_columns_are_features(tmp_path):
    dataset(3).save_to_disk(tmp_path / "saved")
    edit = edit_of({1: "World"}, {2}, VALUES, flag_discarded=True, review_columns=True)
    place, _ = copied(tmp_path / "saved", tmp_path, edit, {"": 0})
    after = datasets.load_from_disk(place)
    assert after.features == FEATURES | {
        "label_original": LABEL,
        "review": datasets.Value("string"),
        "discarded": datasets.Value("bool"),
    }
    assert after[1] == {
        "text": "text 1",
        "label": 0,
        "tags": [1],
        "label_original": 1,
        "review": "relabel",
        "discarded": False,
    }
    with open_dataset(str(place)) as rows:
        assert len(rows) == 3


def test_what_can_be_copied(tmp_path):
    dataset(3).save_to_disk(tmp_path / "saved")
    assert can_be_copied(tmp_path / "saved", "")
    assert not can_be_copied(tmp_path / "saved", "train")
    state = tmp_path / "saved" / "state.json"
    state.write_text(
        json.dumps(json.loads(state.read_text()) | {"_indices_data_files": [{"filename": "indices.arrow"}]})
    )
    assert not can_be_copied(tmp_path / "saved", "")
