"""Runs in Rubrix' own environment: logs records, read from standard input, with its official client.

Arguments: URL, key, name of the dataset, name of the model, name of the audited dataset.
"""

import json
import sys

import rubrix as rb

url, key, name, model, dataset = sys.argv[1:]
rb.init(api_url=url, api_key=key)
rb.log(
    [
        rb.TextClassificationRecord(
            id=record["row"],
            text=record["text"],
            prediction=record["probabilities"],
            prediction_agent=model,
            annotation=record["label"],
            annotation_agent=dataset,
            metadata={"loss": record["loss"], "rank": record["rank"], "row_id": record["row"]},
            status="Default",
        )
        for record in json.load(sys.stdin)
    ],
    name=name,
    verbose=False,
)
