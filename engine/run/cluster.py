"""Scores shards on many machines with Ray: this process sends rows out and gets parts back, in any order.

A node only needs lossaudit installed: the graph's files travel through Ray's object store. Ray schedules the shards,
and repeats those lost with a node. Each of its processes keeps the graph loaded between shards.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from packaging.version import Version

from ..errors import LossAuditError, brief
from ..model.bundle import MANIFEST, TOKENIZER, Bundle
from ..model.tuning import Plan
from .shards import OnRows, ShardJob, ShardScorer

if TYPE_CHECKING:
    import ray

LOCAL = "local"
"""Address that starts a Ray for this audit alone, on this machine."""
_REACHED_WITHIN = 10.0
"""Seconds in which Ray's head node must accept a connection."""
_WAITING = 2
"""Shards in flight per shard being scored, so that no process waits for its next one."""
_LOWEST = Version("2.52.0")
"""The first Ray that can require a token: older ones run code from anyone who can reach them."""
_ALONE = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_K8S_TOKEN_AUTH": "0",
    # Without clusters, Ray only listens on the loopback interface. It reads this on all systems, despite the name.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray asks the metadata addresses of three clouds where it runs, with statistics off too, and has no switch for it.
    # What it starts here needs no other machine, so it gets a proxy that only the machine's owner could run.
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "no_proxy": "localhost,127.0.0.1,::1",
}
"""Environment of a Ray on this machine alone, besides its token."""
_REFUSED = 77
_WITHOUT_TOKEN = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError

try:
    GcsClient(address=sys.argv[1]).internal_kv_get(b"", None, timeout={_REACHED_WITHIN})
except AuthenticationError:
    sys.exit({_REFUSED})
"""


class Cluster:
    """A connection to Ray. Use it in a `with`, which closes it."""

    def __init__(self, address: str) -> None:
        """address: of a running Ray, such as "auto" or "10.0.0.1:6379", or LOCAL, which needs a process that hasn't
        imported ray yet, since Ray reads its environment then. Raises LossAuditError if Ray can't be used."""
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        self.address = address
        self._ends = contextlib.ExitStack()
        if address != LOCAL:
            self._ray = _import_ray()
            _check_reachable(address)
            self._connect()
            return
        with _environment(_ALONE | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
            self._ray = _import_ray()
            self._connect(include_dashboard=False, _temp_dir=self._ends.enter_context(_private_folder()))

    def _connect(self, **options: Any) -> None:
        ray = self._ray
        try:
            ray.init(self.address, logging_level="ERROR", log_to_driver=False, **options)
        except (OSError, RuntimeError, ValueError, AssertionError, ray.exceptions.RayError) as error:
            self._ends.close()
            raise LossAuditError(f"Ray at {self.address} can't be used: {brief(error)} (docs/scale.md)") from error

    def accepts_anybody(self) -> bool:
        """Whether it accepts a process without a token. Such a process tries it, since Ray reads its mode only once."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
        asked = subprocess.run(
            [sys.executable, "-P", "-c", _WITHOUT_TOKEN, self._ray.get_runtime_context().gcs_address],
            env=others | {"RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            check=False,
        )
        return asked.returncode != _REFUSED

    @property
    def nodes(self) -> list[float]:
        """The CPUs of each node that is alive and has some."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return [resources["CPU"] for resources in alive if resources.get("CPU")]

    def score(
        self, job: ShardJob, plan: Plan, sources: Iterator[tuple[int, pa.Table]], on_rows: OnRows
    ) -> Iterator[tuple[int, pa.Table]]:
        """Like `shards.score_here`, but in the order in which shards are finished."""
        cpus = max(1, int(min([plan.workers * plan.threads, *self.nodes])))
        plan = replace(plan, workers=max(1, cpus // plan.threads))
        files = self._ray.put(_files_of(job.bundle, plan.graph))
        score = self._ray.remote(num_cpus=cpus, max_retries=-1)(_score)
        work = _Work(uuid.uuid4().hex, job, plan)
        most = _WAITING * max(1, int(sum(self.nodes)) // cpus)
        on_the_way: dict[ray.ObjectRef[pa.Table], int] = {}
        for start, source in sources:
            on_the_way[score.remote(files, work, start, source)] = start
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
        self._ends.close()


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise LossAuditError("Ray needs the extra: pip install 'lossaudit[ray]'") from error
    if Version(ray.__version__) < _LOWEST:
        raise LossAuditError(
            f"Ray {ray.__version__} runs code from anyone who can reach it; lossaudit needs {_LOWEST} or newer, which "
            "can require a token: pip install -U 'lossaudit[ray]'"
        )
    return ray


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables for this process and what it starts, and restores them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """A folder for Ray's sockets and logs: Ray's own are writable for all, who could replace the sockets."""
    # A socket's path may have 103 characters, half of which macOS's temporary folder takes.
    place = os.environ.get("RAY_TMPDIR") or ("/tmp" if sys.platform == "darwin" else None)
    with tempfile.TemporaryDirectory(prefix="ray-", dir=place, ignore_cleanup_errors=True) as folder:
        yield str(Path(folder) / "ray")


def _check_reachable(address: str) -> None:
    """Raises LossAuditError at once where Ray itself would try for minutes to reach a machine that isn't there."""
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


@dataclass(frozen=True)
class _Work:
    """What all shards of an audit have in common."""

    audit: str
    """A name that no other audit has."""
    job: ShardJob
    plan: Plan


_loaded: dict[str, ShardScorer] = {}
"""In one of Ray's processes: the scorer of the audit that it works for."""


def _score(files: dict[str, bytes], work: _Work, start: int, source: pa.Table) -> pa.Table:
    """A shard's part; runs in one of Ray's processes."""
    if work.audit not in _loaded:
        _loaded.clear()
        _loaded[work.audit] = _load(files, work.job, work.plan)
    scorer = _loaded[work.audit]
    return scorer.score(scorer.encode(start, source))


def _load(files: dict[str, bytes], job: ShardJob, plan: Plan) -> ShardScorer:
    with tempfile.TemporaryDirectory(prefix="lossaudit-") as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return ShardScorer(replace(job, bundle=replace(job.bundle, folder=Path(folder))), plan)
