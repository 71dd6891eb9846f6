"""Exports that several peers share, each made once in the work folder."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from .job import Job


@contextlib.contextmanager
def once(folder: Path) -> Iterator[Path | None]:
    """Yields an empty folder to fill, which becomes `folder`; or None if that is there already."""
    if folder.is_dir():
        yield None
        return
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    unfinished.rename(folder)


def exported(job: Job) -> Path:
    """The folder with Optimum's plain ONNX export of the checkpoint."""
    target = job.work / "exported"
    with once(target) as folder:
        if folder is not None:
            from optimum.exporters.onnx import main_export  # takes seconds, and a job never needs it

            main_export(str(job.model), folder, task="text-classification", do_validation=False)
    return target
