"""The base install by itself: a checkpoint is exported, audited and, with scikit-learn, fitted without PyTorch."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lossaudit.engine.model.bundle import Bundle

STORED = Path(__file__).parents[1] / "export" / "checkpoints" / "bert"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "the", "bank", "##s"]
HIDDEN = ("torch", "transformers", "optimum", "sentencepiece")


@pytest.fixture
def checkpoint(tmp_path):
    """A BERT with a vocabulary and without a tokenizer.json."""
    folder = Path(shutil.copytree(STORED, tmp_path / "checkpoint"))
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    return folder


@pytest.fixture
def bare(without):
    """Runs `lossaudit` in a process without PyTorch."""
    return without(*HIDDEN)


def test_export_says_that_nothing_was_compared_with_pytorch(bare, checkpoint, tmp_path):
    done = bare("export", checkpoint, "-o", tmp_path / "bundle")
    assert done.returncode == 0, done.stderr
    assert "BertForSequenceClassification, 4 labels" in done.stdout
    assert "Not compared with PyTorch, since there was no PyTorch model" in done.stdout
    manifest = Bundle.load(tmp_path / "bundle").manifest
    assert [graph.name for graph in manifest.graphs] == ["fp32", "int8-static", "int8-dynamic", "int8-qdq"]
    assert manifest.left_out == {}
    assert manifest.max_length == 24


def test_audit_takes_the_checkpoint_itself(bare, checkpoint, tmp_path, data_csv, rows):
    done = bare("audit", checkpoint, data_csv, "-o", tmp_path / "losses.parquet", "--no-tune")
    assert done.returncode == 0, done.stderr
    assert len(pq.read_table(tmp_path / "losses.parquet")) == len(rows)


def test_fit_takes_it_as_an_encoder(bare, checkpoint, tmp_path, data_csv, rows):
    done = bare("fit", checkpoint, data_csv, "-o", tmp_path / "fitted", "--no-tune")
    assert done.returncode == 0, done.stderr
    assert len(pq.read_table(tmp_path / "fitted" / "losses.parquet")) == len(rows)
    assert Bundle.load(tmp_path / "fitted" / "bundle").manifest.architecture == "BertForSequenceClassification"


def test_what_lossaudit_does_not_write_needs_the_extra(bare, checkpoint, tmp_path):
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "t5"}))
    done = bare("export", checkpoint, "-o", tmp_path / "bundle")
    assert done.returncode == 2
    assert "can't be exported without PyTorch: its model_type is 't5'" in done.stderr
    assert "pip install 'lossaudit[export]'" in done.stderr
    assert not (tmp_path / "bundle").exists()
