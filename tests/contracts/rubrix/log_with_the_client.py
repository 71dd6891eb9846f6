"""Logs records from standard input with Rubrix' official client; runs in Rubrix' own environment.

Arguments: URL, key, name of the dataset, name of the model, name of the audited dataset.
"""

import json
import sys

import rubrix as rb

url, key, name, model, dataset = sys.argv[1:]
rb.init(api_url=url, api_key=key)


def of_one_label(record):
    return {"text": record["text"], "annotation": record["label"]}, {}


def of_sets_over_two_texts(record):
    inputs = {"text": record["text"], "hypothesis": record["text_pair"]}
    told = {"inputs": inputs, "annotation": record["doubt"]["given"], "multi_label": True}
    return told, {"worst_label": record["doubt"]["worst"]}


def made(record):
    told, more = (of_sets_over_two_texts if record["doubt"] else of_one_label)(record)
    return rb.TextClassificationRecord(
        id=record["row"],
        prediction=record["probabilities"],
        prediction_agent=model,
        annotation_agent=dataset,
        metadata={"loss": record["loss"], "rank": record["rank"], "row_id": record["row"], **more},
        status="Default",
        **told,
    )


rb.log([made(record) for record in json.load(sys.stdin)], name=name, verbose=False)
