"""What apply refuses: sources, decisions and outputs with which nothing is written."""

import os
from dataclasses import replace

import datasets
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.sidecar import facts_path
from lossaudit.review.apply import apply_decisions
from tests.review.applying import CSV, DECISIONS


class TestRefuses:
    def test_a_source_without_any_of_the_decided_texts(self, decided, write_file, tmp_path, refused):
        losses = decided(write_file("source.csv", CSV), {2: ("discard", None)})
        write_file("source.csv", CSV.replace("oil", "gas"))
        with refused("source.csv has changed", "none of the decided rows", "row 2: 'oil market'"):
            apply_decisions(losses, tmp_path / "cleaned.csv")
        assert not (tmp_path / "cleaned.csv").exists()

    def test_a_source_that_is_gone(self, decided, write_file, tmp_path, refused):
        source = write_file("source.csv", CSV)
        losses = decided(source, DECISIONS)
        source.rename(tmp_path / "elsewhere.csv")
        with refused("there is no file or folder", "if it has moved, name it with dataset"):
            apply_decisions(losses, tmp_path / "cleaned.csv")
        with refused("there is no file or folder elsewhere.csv"):
            apply_decisions(losses, tmp_path / "cleaned.csv", dataset="elsewhere.csv")

    def test_a_source_without_the_columns(self, decided, write_file, tmp_path, refused):
        losses = decided(write_file("source.csv", CSV), DECISIONS)
        write_file("source.csv", CSV.replace("text", "body"))
        with refused("has no column 'text'"):
            apply_decisions(losses, tmp_path / "cleaned.csv")

    def test_but_not_one_that_was_only_touched(self, decided, write_file, tmp_path):
        source = write_file("source.csv", CSV)
        losses = decided(source, DECISIONS)
        os.utime(source, (0, 0))
        apply_decisions(losses, tmp_path / "cleaned.csv")
        assert (tmp_path / "cleaned.csv").is_file()

    def test_to_write_over_the_source(self, decided, write_file, refused):
        source = write_file("source.csv", CSV)
        with refused("is a file of the dataset"):
            apply_decisions(decided(source, DECISIONS), source)
        assert source.read_text() == CSV

    @pytest.mark.parametrize("output", ["cleaned.csv", "cleaned"])
    def test_to_replace_what_it_did_not_write(self, output, decided, write_file, tmp_path, refused):
        losses, out = decided(write_file("source.csv", CSV), DECISIONS), tmp_path / output
        mine = write_file(f"{output}/mine" if output == "cleaned" else output, "mine")
        with refused(f"{out} exists and isn't a cleaned dataset", f"{output}.changes.json"):
            apply_decisions(losses, out)
        assert mine.read_text() == "mine"
        mine.unlink()
        for _ in range(2):
            apply_decisions(losses, out)
        assert out.exists()

    def test_a_place_where_no_file_can_be(self, decided, write_file, tmp_path, refused):
        with refused("cannot write", "source.csv is not a folder"):
            apply_decisions(decided(write_file("source.csv", CSV), DECISIONS), tmp_path / "source.csv" / "cleaned.csv")

    def test_to_write_over_a_saved_dataset(self, decided, tmp_path, refused):
        datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["World", "Sports"]}).save_to_disk(tmp_path / "saved")
        with refused("saved is a folder of the dataset"):
            apply_decisions(decided(tmp_path / "saved", {}), tmp_path / "saved")

    def test_a_losses_file_that_does_not_know_its_label_column(self, decided, write_file, tmp_path, refused):
        losses = decided(write_file("source.csv", CSV), DECISIONS)
        table = pq.read_table(losses)
        facts = Facts.of(table.schema)
        facts = replace(facts, source=replace(facts.source, label_column=None))
        write_table([table], facts.stored_in(table.schema), losses)
        with refused("which column of the dataset holds the labels"):
            apply_decisions(losses, tmp_path / "cleaned.csv")

    def test_a_losses_file_that_does_not_know_its_dataset(self, decided, write_file, tmp_path, refused):
        losses = decided(write_file("source.csv", CSV), DECISIONS)
        write_table([pq.read_table(losses)], pq.read_schema(losses), tmp_path / "losses.csv")
        facts_path(tmp_path / "losses.csv").unlink()
        with refused("losses.csv doesn't say which dataset"):
            apply_decisions(tmp_path / "losses.csv", tmp_path / "cleaned.csv")

    def test_without_decisions(self, decided, write_file, tmp_path, refused):
        losses = decided(write_file("source.csv", CSV), {})
        losses.with_name(f"{losses.name}.reviews.sqlite").unlink()
        with refused("no decisions"):
            apply_decisions(losses, tmp_path / "cleaned.csv")

    def test_an_unknown_format(self, decided, write_file, tmp_path, refused):
        with refused("cleaned.xlsx", ".parquet"):
            apply_decisions(decided(write_file("source.csv", CSV), DECISIONS), tmp_path / "cleaned.xlsx")

    def test_a_column_that_is_there_already(self, decided, write_file, tmp_path, refused):
        source = write_file("source.csv", "text,label,review\nthe bank,World,5\n")
        with refused("'review'"):
            apply_decisions(decided(source, {}), tmp_path / "cleaned.csv", review_columns=True)
