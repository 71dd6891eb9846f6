"""Rubrix' real server, with its documents in memory instead of in OpenSearch; runs in Rubrix' own environment.

The argument is the port. Users are `rubrix`, who may do everything, and `alice` of the workspace `team`; their keys are
`rubrix.apikey` and `alice.apikey`. The replaced part is below the request models, the services and the checks of
records: only what would go to the search engine stays here, as the JSON that would be sent.
"""

# ruff: noqa: ARG002, E402 - the signatures are the server's own, which is imported once it is set up

import json
import os
import sys
import tempfile
from datetime import datetime

USERS = """
- {username: rubrix, hashed_password: none, api_key: rubrix.apikey}
- {username: alice, hashed_password: none, api_key: alice.apikey, workspaces: [team]}
"""
with tempfile.NamedTemporaryFile("w", suffix=".yml", delete=False) as users:
    users.write(USERS)
os.environ["RUBRIX_LOCAL_AUTH_USERS_DB_FILE"] = users.name
os.environ["RUBRIX_ENABLE_TELEMETRY"] = "0"

import uvicorn
from rubrix.server.commons.models import TaskType
from rubrix.server.daos.backend.elasticsearch import ElasticsearchBackend
from rubrix.server.daos.backend.mappings.helpers import tasks_common_mappings
from rubrix.server.daos.backend.mappings.text_classification import text_classification_mappings
from rubrix.server.daos.backend.mappings.token_classification import token_classification_mappings

OF_TASK = {
    TaskType.text_classification: text_classification_mappings(),
    TaskType.token_classification: token_classification_mappings(),
}


def as_stored(document):
    """What the search engine gives back for a document: JSON."""
    return json.loads(
        json.dumps(document, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))
    )


class InMemory(ElasticsearchBackend):
    """The documents of datasets by their ids, and of records by datasets' and records' ids."""

    def __init__(self):
        self.datasets = {}
        self.records = {}
        self.properties = {}

    def create_datasets_index(self, force_recreate=False):
        pass

    def add_dataset_document(self, id, document):
        self.datasets[id] = as_stored(document)

    def update_dataset_document(self, id, document):
        self.datasets[id].update(as_stored(document))

    def find_dataset(self, id, name=None, owner=None):
        found = self.datasets.get(id)
        if found is None and owner is None and name:
            found = next((document for document in self.datasets.values() if document["name"] == name), None)
        return None if found is None else {"_source": found}

    def list_datasets(self, query):
        owners = query.owners or []
        return [{"_source": found} for found in self.datasets.values() if not owners or found["owner"] in owners]

    def create_dataset_index(self, id, task, metadata_values=None, force_recreate=False):
        self.records.setdefault(id, {})
        self.properties[id] = {**tasks_common_mappings()["properties"], **OF_TASK[task]["properties"]}

    def get_mappings(self, id):
        return {"mappings": {"properties": self.properties[id]}}

    def add_documents(self, id, documents):
        for document in documents:
            # The index is a strict one: fields that it doesn't know are refused.
            unknown = set(document) - set(self.properties[id])
            if unknown:
                raise ValueError(f"strict_dynamic_mapping_exception: {unknown}")
            self.records[id][str(document["id"])] = as_stored(document)
        return 0

    def search_records(self, id, query, sort, record_from=0, size=100, exclude_fields=None, enable_highlight=True):
        found = list(self.scan_records(id))
        return len(found), found[record_from : record_from + size]

    def scan_records(self, id, query=None, id_from=None, limit=None):
        # Ids are keywords there: they sort as texts.
        for key in sorted(self.records[id]):
            if id_from is None or key > id_from:
                yield self.__esdoc2record__({"_id": key, "_source": self.records[id][key]})


ElasticsearchBackend._INSTANCE = InMemory()

from rubrix.server.server import app

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
