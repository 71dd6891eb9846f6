"""lossaudit through its engine, as the `audit` command uses it.

Each audit opens a bundle and the rows' file, scores, ranks, and writes the whole losses table. The bundle is
exported, and what is fastest here measured, when it is prepared.
"""

import functools
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model import backends
from lossaudit.engine.model import bundle as bundles
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.encoding import Batch
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.table.formats import write_table

from .exports import once
from .job import Clock, Contender, Job, Settings, UnavailableError


class Watched:
    """A runner that the clock watches."""

    def __init__(self, runner: backends.Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    def run(self, batch: Batch) -> NDArray[np.float32]:
        with self._clock.running(batch.mask):
            return self._runner.run(batch)


class Ours(Contender):
    """An audit with some options."""

    def __init__(self, precision: str, provider: str, *needs: str) -> None:
        self.asked = precision
        self.provider = provider
        self.precision = "fp32" if precision == "fp32" else "int8"
        self.needs = ("lossaudit", *needs)

    def prepare(self, job: Job) -> None:
        with once(bundle_folder(job)) as folder:
            if folder is not None:
                for outdated in job.work.glob("bundle-*"):
                    if outdated != folder:
                        shutil.rmtree(outdated)
                from lossaudit.export.exporter import export_bundle  # takes seconds, and a job never needs it

                export_bundle(str(job.model), folder)
        try:
            # Measures what is fastest, which the jobs find in the cache.
            _ = self._audit(job).choice
        except LossAuditError as error:
            raise UnavailableError(str(error)) from error

    def run(self, job: Job, settings: Settings, clock: Clock) -> None:  # noqa: ARG002 - the engine tunes itself
        load = backends.load

        def watched(*args: Any, **kwargs: Any) -> Watched:
            with clock.loading():
                return Watched(load(*args, **kwargs), clock)

        backends.load = watched
        try:
            audited = self._audit(job).run()
            write_table(audited.rows(), audited.schema, job.out)
        except LossAuditError as error:
            raise UnavailableError(str(error)) from error
        finally:
            backends.load = load

    def _audit(self, job: Job) -> Audit:
        options = AuditOptions(
            limit=job.rows,
            precision=self.asked,
            provider=self.provider,
            top=job.top if self.asked == "exact-top" else None,
        )
        return Audit(Bundle.load(bundle_folder(job)), open_dataset(str(job.data)), options)


def bundle_folder(job: Job) -> Path:
    """Where the bundle is, by what made it."""
    return job.work / f"bundle-{_makers_hash()}"


@functools.cache
def _makers_hash() -> str:
    """Of the engine's and the export's source, so that a bundle is made again when they have changed."""
    house = Path(bundles.__file__).resolve().parents[2]
    rooms = (house / "engine", house / "export")
    digest = hashlib.sha256()
    for file in sorted(file for room in rooms for file in room.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


CONTENDERS: dict[str, Contender] = {
    "ours-fp32": Ours("fp32", "cpu"),
    "ours-int8": Ours("int8", "cpu"),
    "ours-int8-openvino": Ours("int8", "openvino", "openvino"),
    "ours-exact-top": Ours("exact-top", "auto", "openvino"),
}
