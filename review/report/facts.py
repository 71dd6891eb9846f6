"""The facts of a losses file's run as a report shows them: names and values in words."""

from datetime import UTC, datetime

from lossaudit.engine.table.facts import Facts, RunFacts
from lossaudit.engine.table.losses import LossesTable


def facts_shown(losses: LossesTable) -> list[tuple[str, str]]:
    """(what, value) pairs in reading order; what the file doesn't say is omitted."""
    facts, source = losses.facts, losses.facts.source
    shown: list[tuple[str, str | None]] = [
        ("Losses file", f"{losses.path.name}, {len(losses):,} rows, written {_written(losses)}"),
        ("Model", facts.model),
        ("Revision", facts.revision),
        ("Labels" if losses.is_multi_label else "Classes", _labels(losses)),
        ("Dataset", source.name),
        ("Configuration", source.config),
        ("Split", None if source.splits else source.split),
        ("Splits", ", ".join(f"{split.name} ({split.rows:,} rows)" for split in source.splits or ())),
        ("Rows read", None if source.limit is None else f"the first {source.limit:,}"),
        ("Fingerprint", source.fingerprint),
        ("Text column", facts.text_column),
        ("Second text", facts.text_pair_column),
        ("Label column", facts.given.column),
        ("Longest text", None if facts.max_length is None else f"{facts.max_length:,} tokens"),
        ("Windows", None if facts.stride is None else f"overlapping by {facts.stride:,} tokens"),
        ("Precision", _precision(facts)),
        ("Graph", f"{facts.graph} on {facts.backend}" if facts.graph and facts.backend else facts.graph),
        ("Speed", _speed(facts.run)),
        ("Versions", ", ".join(f"{_library(name)} {version}" for name, version in facts.run.versions.items())),
    ]
    return [(what, value) for what, value in shown if value]


def _labels(losses: LossesTable) -> str | None:
    labels = losses.facts.labels
    if labels is None:
        return None
    return f"{len(labels):,}{', any number per row' if losses.is_multi_label else ''}"


def _precision(facts: Facts) -> str | None:
    if facts.precision is None or facts.exact_top is None:
        return facts.precision
    return f"{facts.precision}: the top {facts.exact_top:,} rows are those of fp32"


def _speed(run: RunFacts) -> str | None:
    if run.scored is None or not run.seconds or run.seconds < 0:
        return None
    return f"{run.scored / run.seconds:,.0f} rows/s ({run.scored:,} rows in {run.seconds:,.1f} s)"


def _library(backend: str) -> str:
    """The name of the package that a backend comes from; lossaudit stays lossaudit."""
    return {"cpu": "onnxruntime", "cuda": "onnxruntime-gpu"}.get(backend, backend)


def _written(losses: LossesTable) -> str:
    return datetime.fromtimestamp(losses.path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
