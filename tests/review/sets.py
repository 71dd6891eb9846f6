"""Shared by the tests of multi-label reviews: losses files made from given label sets and probabilities."""

import math

import pyarrow as pa

from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.schema import MULTI_LABEL_SCHEMA

LABELS = ("joy", "anger", "fear", "love")


def sets_table(rows, labels=LABELS, **columns):
    """A multi-label losses table. rows: (given labels, probability of each label, text), in falling order of loss."""
    made = [{**row(index, *values, labels)} for index, values in enumerate(rows)]
    table = pa.Table.from_pylist(made, schema=MULTI_LABEL_SCHEMA)
    table = table.append_column("text", pa.array([text for *_, text in rows], pa.string()))
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def write_sets(table, path, labels=LABELS, **facts):
    """Writes it with the facts of an audit."""
    told = {"task": "multi-label", "labels": list(labels), "text_column": "text", "label_column": None} | facts
    write_table([table], Facts.from_json(told).stored_in(table.schema), path)
    return path


def row(index, given, probabilities, text, labels):  # noqa: ARG001 - the text is a column of the source
    losses = [-math.log(p if label in given else 1 - p) for label, p in zip(labels, probabilities, strict=True)]
    worst = max(range(len(labels)), key=losses.__getitem__)
    predicted = [label for label, p in zip(labels, probabilities, strict=True) if p >= 0.5]
    agrees = math.exp(-losses[worst])
    return {
        "id": index,
        "label_name": ", ".join(label for label in labels if label in given),
        "prediction_name": ", ".join(predicted),
        "probability": probabilities[worst],
        "label_probability": agrees,
        "loss": losses[worst],
        "margin": 2 * agrees - 1,
        "tokens": 5,
        "unknown_tokens": 0,
        "truncated": False,
        "precision": "fp32",
        "status": "ok",
        "probabilities": list(probabilities),
        "labels": [label for label in labels if label in given],
        "predictions": predicted,
        "worst_label": labels[worst],
    }


ROWS = [
    (("joy", "anger"), (0.9, 0.01, 0.2, 0.3), "what a wonderful morning"),
    (("joy",), (0.8, 0.1, 0.1, 0.98), "I adore you"),
    ((), (0.1, 0.2, 0.95, 0.1), "something moved in the dark"),
    (("fear",), (0.05, 0.1, 0.1, 0.2), "the bus was late"),
    (("love", "joy"), (0.7, 0.1, 0.2, 0.6), "we laughed all evening"),
    (("anger",), (0.3, 0.8, 0.3, 0.1), "never again"),
]
"""Of a rising id, and a falling loss."""
