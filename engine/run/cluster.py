"""Scores shards on many machines with Ray: rows go out from this process, parts come back to it, in any order.

A node needs lossaudit installed and nothing else: the graph's files travel through Ray's object store. Ray schedules,
and repeats what was lost with a node. Each of its processes keeps the graph loaded between shards.
"""

import os
import socket
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..data.rows import Rows
from ..errors import LossAuditError, brief
from ..model.bundle import MANIFEST, TOKENIZER, Bundle
from ..model.tuning import Plan
from .shards import SHARD_ROWS, OnRows, ShardJob, ShardScorer

if TYPE_CHECKING:
    import ray

LOCAL = "local"
"""The address of a Ray that is started for this audit alone, on this machine."""
_REACHED_WITHIN = 10.0
"""Seconds for a connection to Ray's head node."""
_WAITING = 2
"""Shards on the way for each that is being scored, so that no process waits for its next one."""


class Cluster:
    """A connection to Ray. Use it in a `with`, which ends it."""

    def __init__(self, address: str) -> None:
        """address: of a running Ray, such as "auto" or "10.0.0.1:6379", or LOCAL. Raises LossAuditError without it."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise LossAuditError("Ray needs the extra: pip install 'lossaudit[ray]'") from error
        self._ray = ray
        _check_reachable(address)
        where: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {"address": address}
        try:
            ray.init(logging_level="ERROR", log_to_driver=False, **where)
        except (OSError, RuntimeError, ValueError, AssertionError, ray.exceptions.RayError) as error:
            raise LossAuditError(f"Ray at {address} can't be used: {brief(error)} (docs/scale.md)") from error

    @property
    def nodes(self) -> list[float]:
        """The CPUs of each node that is alive and has some."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return [resources["CPU"] for resources in alive if resources.get("CPU")]

    def score(
        self, job: ShardJob, plan: Plan, rows: Rows, starts: list[int], on_rows: OnRows
    ) -> Iterator[tuple[int, pa.Table]]:
        """As `shards.score_here`, but in the order in which they are done."""
        cpus = max(1, int(min([plan.workers * plan.threads, *self.nodes])))
        plan = replace(plan, workers=max(1, cpus // plan.threads))
        files = self._ray.put(_files_of(job.bundle, plan.graph))
        score = self._ray.remote(num_cpus=cpus, max_retries=-1)(_score)
        audit = uuid.uuid4().hex
        most = _WAITING * max(1, int(sum(self.nodes)) // cpus)
        on_the_way: dict[ray.ObjectRef[pa.Table], int] = {}
        for start, source in rows.shards(SHARD_ROWS, set(starts).__contains__):
            on_the_way[score.remote(audit, files, job, plan, start, source)] = start
            if len(on_the_way) >= most:
                yield self._first_done(on_the_way, on_rows)
        while on_the_way:
            yield self._first_done(on_the_way, on_rows)

    def _first_done(self, on_the_way: "dict[ray.ObjectRef[pa.Table], int]", on_rows: OnRows) -> tuple[int, pa.Table]:
        (done, *_), _ = self._ray.wait(list(on_the_way), num_returns=1)
        start = on_the_way.pop(done)
        try:
            part: pa.Table = self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LossAuditError):
                raise LossAuditError(str(error.cause)) from error
            raise
        on_rows(len(part))
        return start, part

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes to reach a machine that isn't there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=_REACHED_WITHIN).close()
        except OSError as error:
            raise LossAuditError(f"Ray at {address} can't be reached: {brief(error)}; is it running?") from error


def _files_of(bundle: Bundle, graph: str) -> dict[str, bytes]:
    """What a node needs of a bundle: one graph, and the files that all graphs share."""
    manifest = bundle.manifest
    others: set[str] = {other.file for other in manifest.graphs} - {bundle.graph(graph).file}
    names = {MANIFEST, TOKENIZER, *manifest.files} - others
    return {name: (bundle.folder / name).read_bytes() for name in sorted(names)}


_loaded: dict[str, ShardScorer] = {}
"""In one of Ray's processes: the scorer of the audit that it works for."""


def _score(audit: str, files: dict[str, bytes], job: ShardJob, plan: Plan, start: int, source: pa.Table) -> pa.Table:
    """A shard's part; runs in one of Ray's processes."""
    if audit not in _loaded:
        _loaded.clear()
        _loaded[audit] = _load(files, job, plan)
    scorer = _loaded[audit]
    return scorer.score(scorer.encode(start, source))


def _load(files: dict[str, bytes], job: ShardJob, plan: Plan) -> ShardScorer:
    with tempfile.TemporaryDirectory(prefix="lossaudit-") as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return ShardScorer(replace(job, bundle=replace(job.bundle, folder=Path(folder))), plan)
