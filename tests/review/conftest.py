"""What the tests of the review share: losses files with the rows that a test needs."""

import pyarrow as pa
import pytest

from lossaudit.engine.formats import write_table
from lossaudit.engine.table import SCHEMA, with_facts

LABELS = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture
def make_losses(tmp_path):
    """Writes a losses file. rows: (given, predicted, loss, text), in the file's order; None as given or loss is no
    loss. `columns` are the source's others; facts=False leaves the facts out, as older files and CSV do."""

    def make(rows, labels=LABELS, name="losses.parquet", facts=True, probabilities=True, columns=None):
        classes = {label: index for index, label in enumerate(labels)}
        table = [row(index, *values, classes) for index, values in enumerate(rows)]
        schema = SCHEMA if probabilities else SCHEMA.remove(SCHEMA.get_field_index("probabilities"))
        made = pa.Table.from_pylist(table, schema=schema)
        made = made.append_column("text", pa.array([text for *_, text in rows], pa.string()))
        for column, values in (columns or {}).items():
            made = made.append_column(column, pa.array(values))
        told = {"labels": list(labels), "text_column": "text", "label_column": "label"}
        if facts:
            made = made.cast(with_facts(made.schema, told))
        path = tmp_path / name
        write_table([made], made.schema, path)
        return path

    return make


@pytest.fixture
def losses_file(make_losses):
    """Twelve examples of falling loss."""
    return make_losses([(LABELS[n % 4], LABELS[(n + 1) % 4], 12.0 - n, f"example number {n}") for n in range(12)])


def row(index, given, predicted, loss, text, classes):  # noqa: ARG001 - the text is a column of the source
    """A row of the losses table, its probabilities made to fit its prediction."""
    chances = [0.1 / max(1, len(classes) - 1)] * len(classes)
    chances[classes[predicted]] = 0.9
    has_loss = loss is not None
    return {
        "id": index,
        "label": classes.get(given),
        "label_name": given,
        "prediction": classes[predicted] if has_loss else None,
        "prediction_name": predicted if has_loss else None,
        "probability": 0.9 if has_loss else None,
        "label_probability": 0.9 if given == predicted else chances[0],
        "loss": loss,
        "margin": 0.0,
        "tokens": 5,
        "truncated": False,
        "precision": "fp32",
        "status": "ok" if has_loss else "label_not_in_model",
        "status_reason": None,
        "probabilities": chances if has_loss else None,
    }
