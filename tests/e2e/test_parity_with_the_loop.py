"""The usual PyTorch loop and ours, on real text: the same losses and the same top."""

import datasets
import numpy as np
import pytest
import torch
import transformers

from lossaudit.engine.audit import Audit, AuditOptions
from lossaudit.export.exporter import export_bundle

ROWS = 1000


@pytest.fixture(scope="module")
def checkpoint(shared):
    return shared / "models" / "agnews-distilbert-mini"


@pytest.fixture(scope="module")
def dataset(shared):
    files = str(shared / "data" / "ag_news_test.jsonl.gz")
    return datasets.load_dataset("json", data_files=files, split="train").select(range(ROWS))


@pytest.fixture(scope="module")
def loop_losses(checkpoint, dataset):
    """The tutorial's way: batches of 32 in the order of the dataset, padded to the longest of each."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    tokenized = dataset.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)
    tokenized = tokenized.select_columns(["input_ids", "attention_mask", "label"])
    loader = torch.utils.data.DataLoader(
        tokenized, batch_size=32, collate_fn=transformers.DataCollatorWithPadding(tokenizer)
    )
    losses = []
    with torch.inference_mode():
        for batch in loader:
            labels = batch.pop("labels")
            losses += torch.nn.functional.cross_entropy(model(**batch).logits, labels, reduction="none").tolist()
    return np.array(losses)


@pytest.fixture(scope="module")
def table(checkpoint, dataset, tmp_path_factory):
    bundle = export_bundle(str(checkpoint), tmp_path_factory.mktemp("agnews") / "bundle")
    return Audit(bundle, dataset, AuditOptions(precision="fp32", tune=False)).run().table


def test_losses_are_those_of_the_loop(loop_losses, table):
    ours = np.array(table.sort_by("id")["loss"].to_pylist())
    assert np.abs(ours - loop_losses).max() <= 1e-4


def test_the_top_is_that_of_the_loop_but_for_ties(loop_losses, table):
    top = table["id"].to_pylist()[:100]
    expected = np.argsort(-loop_losses, kind="stable")[:100]
    assert set(top) == set(expected.tolist())
    np.testing.assert_allclose(loop_losses[top], loop_losses[expected], atol=1e-5)
