"""Shared by the tests of the report: losses files made from labels and probabilities."""

import numpy as np
import pyarrow as pa

from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.ranking import rank
from lossaudit.engine.table.schema import SCHEMA, schema_of


def losses_table(given, probabilities, names, unlabelled=0, **columns):
    """A losses table of n rows that have these given class indices and (n, classes) probabilities, ranked, with
    `unlabelled` rows without a loss behind them. columns: others in the place of what is made up."""
    probabilities = np.asarray(probabilities, dtype=np.float32).reshape(len(given), len(names))
    n = len(given)
    predicted = probabilities.argmax(axis=1)
    own = probabilities[np.arange(n), given].astype(np.float64)
    ours = {
        "id": range(n),
        "label": given,
        "label_name": [names[label] for label in given],
        "prediction": predicted,
        "prediction_name": [names[label] for label in predicted],
        "probability": probabilities[np.arange(n), predicted].astype(np.float64),
        "label_probability": own,
        "loss": -np.log(np.maximum(own, 1e-30)),
        "tokens": [7] * n,
        "unknown_tokens": [0] * n,
        "truncated": [False] * n,
        "status": ["ok"] * n,
        "probabilities": list(probabilities),
        "text": [f"example {row}" for row in range(n)],
    } | columns
    schema = pa.schema([*schema_of(SCHEMA, "split" in columns), ("text", pa.string())])
    arrays = [pa.array(ours.get(field.name, [None] * n), field.type) for field in schema]
    table = rank(pa.table(arrays, schema=schema))
    more = [{"id": n + row, "status": "missing_label", "text": "no label"} for row in range(unlabelled)]
    return pa.concat_tables([table, pa.Table.from_pylist(more, schema=schema)])


def write_losses(table, path, names=None, **facts):
    """Writes it with the facts of an audit; without any if `names` is None."""
    told = {"labels": list(names), "text_column": "text", "label_column": "label"} | facts if names else {}
    write_table([table], Facts.from_json(told).stored_in(table.schema) if told else table.schema, path)
    return path
