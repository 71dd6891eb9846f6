"""Rows: from any kind of dataset, complete and in its order, one shard at a time."""

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossaudit.engine.data.rows import Rows
from lossaudit.engine.data.source import open_dataset

N = 2500
TEXTS = [f"text {n} é😞\n{'x' * (n % 50)}" for n in range(N)]
LABELS = [n % 4 for n in range(N)]


@pytest.fixture(scope="module")
def dataset():
    return datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS, "deep": [{"n": [n, None]} for n in range(N)]})


@pytest.fixture(scope="module")
def saved(dataset, tmp_path_factory):
    """The dataset saved in three Arrow files of several batches, and loaded again."""
    folder = tmp_path_factory.mktemp("saved")
    dataset.save_to_disk(folder, num_shards=3)
    return str(folder)


VIEWS = {
    "as it is": lambda whole: whole,
    "renamed": lambda whole: whole.rename_columns({"text": "body", "label": "topic"}),
    "selected columns": lambda whole: whole.select_columns(["label", "text"]),
    "without a column": lambda whole: whole.remove_columns("deep"),
    "selected rows": lambda whole: whole.select(range(100, 2000, 3)),
    "a range of rows": lambda whole: whole.select(range(700, 1900)),
    "shuffled": lambda whole: whole.shuffle(seed=2),
    "in another order": lambda whole: whole.select(np.random.default_rng(1).permutation(N)),
    "filtered": lambda whole: whole.filter(lambda row: row["label"] != 2, load_from_cache_file=False),
    "mapped": lambda whole: whole.map(lambda row: {"text": row["text"].upper()}, load_from_cache_file=False),
    "cast": lambda whole: whole.cast_column("label", datasets.ClassLabel(names=["a", "b", "c", "d"])),
    "two in a row": lambda whole: datasets.concatenate_datasets([whole, whole.select(range(50))]),
    "side by side": lambda whole: datasets.concatenate_datasets(
        [whole, datasets.Dataset.from_dict({"more": TEXTS})], axis=1
    ),
    "formatted": lambda whole: whole.with_format("numpy"),
    "in memory": lambda whole: datasets.Dataset.from_dict(whole[:10]),
}
"""Other ways to look at a dataset."""


def lists(tables):
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [1000, 4096])
def test_the_shards_of_every_view_are_its_rows(view, size, dataset, saved):
    for whole in (dataset, datasets.load_from_disk(saved)):
        looked_at = VIEWS[view](whole)
        rows = Rows(looked_at)
        shards = list(rows.shards(size))
        assert [start for start, _ in shards] == list(range(0, len(looked_at), size))
        assert [len(table) for _, table in shards[:-1]] == [size] * (len(shards) - 1)
        assert lists(table for _, table in shards) == list(looked_at.with_format(None))
        assert len(rows) == len(looked_at)
        assert rows.features == looked_at.features


@settings(max_examples=60)
@given(size=st.integers(1, N + 10), limit=st.none() | st.integers(1, N + 10), data=st.data())
def test_a_limit_and_wanted_shards(size, limit, data, saved, dataset):
    size = max(size, 30)
    wanted = data.draw(st.sets(st.sampled_from(range(0, N, size))))
    for whole in (dataset, datasets.load_from_disk(saved)):
        rows = Rows(whole).first(limit)
        n = min(limit or N, N)
        shards = dict(rows.shards(size, wanted.__contains__))
        assert set(shards) == {start for start in wanted if start < n}
        for start, table in shards.items():
            assert table["text"].to_pylist() == TEXTS[start : min(start + size, n)]


def test_take_is_a_slice_and_ends_with_the_rows(saved, dataset):
    for whole in (dataset, datasets.load_from_disk(saved)):
        rows = Rows(whole).first(1200)
        assert rows.take(1100, 1150)["text"].to_pylist() == TEXTS[1100:1150]
        assert rows.take(1190, 5000)["text"].to_pylist() == TEXTS[1190:1200]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".json", ".csv.gz"])
@pytest.mark.parametrize("files", [1, 3])
def test_files_stream_what_the_dataset_holds(ending, files, tmp_path, write_file):
    labels = [f"label {label}" for label in LABELS]
    columns = {"text": [text.replace("\n", " ") for text in TEXTS], "label": labels}
    for number, part in enumerate(np.array_split(np.arange(N), files)):
        frame = datasets.Dataset.from_dict(columns).select(part).to_pandas()
        content = {
            ".csv": lambda frame=frame: frame.to_csv(index=False),
            ".jsonl": lambda frame=frame: frame.to_json(orient="records", lines=True),
            ".json": lambda frame=frame: frame.to_json(orient="records"),
        }
        if ending == ".parquet":
            frame.to_parquet(tmp_path / f"{number}.parquet", row_group_size=300)
        else:
            write_file(f"{number}{ending}", content[ending.removesuffix(".gz")]())
    rows = open_dataset(str(tmp_path / f"*{ending}"))
    tables = [table for _, table in rows.shards(700)]
    assert pa.concat_tables(tables).to_pydict() == columns == rows.take(0, N).to_pydict()


def test_a_fingerprint_is_of_the_whole_dataset(saved, write_file):
    assert Rows(datasets.load_from_disk(saved)).fingerprint == Rows(datasets.load_from_disk(saved)).fingerprint
    path = str(write_file("1.csv", "text,label\na,0\n"))
    first = open_dataset(path).fingerprint
    assert first == open_dataset(path).fingerprint
    assert first != open_dataset(str(write_file("1.csv", "text,label\nb,0\n"))).fingerprint


def test_a_file_that_shrank_since_it_was_opened_is_noticed(tmp_path, dataset, refused):
    dataset.save_to_disk(tmp_path / "saved", num_shards=2)
    rows = Rows(datasets.load_from_disk(str(tmp_path / "saved")))
    file = sorted((tmp_path / "saved").glob("*.arrow"))[1]
    with pa.OSFile(str(file)) as opened, pa.ipc.open_stream(opened) as reader:
        table = reader.read_all().slice(0, 100)
    file.unlink()  # the old one is mapped into memory
    with pa.OSFile(str(file), "wb") as opened, pa.ipc.new_stream(opened, table.schema) as writer:
        writer.write_table(table)
    with refused("changed while it was read", "make the same call again"):
        list(rows.shards(1000))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: data[:2000] + bytes(byte ^ 0xFF for byte in data[2000:3000]) + data[3000:],
    ],
)
def test_a_damaged_file_is_said_and_never_followed_out_of_bounds(spoil, tmp_path, dataset, refused):
    dataset.select_columns(["deep", "text"]).save_to_disk(tmp_path / "saved")
    rows = Rows(datasets.load_from_disk(str(tmp_path / "saved")))
    (file,) = (tmp_path / "saved").glob("*.arrow")
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(spoil(data))
    with refused(str(file), "damaged"):
        list(rows.shards(1000))


def test_parquet_of_many_row_groups_is_read_in_order(tmp_path):
    table = pa.table({"text": TEXTS, "label": LABELS})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=7)
    shards = [shard for _, shard in open_dataset(str(tmp_path / "rows.parquet")).shards(999)]
    assert pa.concat_tables(shards).to_pydict() == table.to_pydict()
