"""What a report says of the run that made a losses file: the file comes in, names and values in words go out."""

from datetime import UTC, datetime
from typing import Any

from lossaudit.engine.table.losses import Losses


def facts_shown(losses: Losses) -> list[tuple[str, str]]:
    """(what, value) pairs in the order to read them in; what the file doesn't say is left out."""
    facts = losses.facts
    source = facts.get("source")
    source = source if isinstance(source, dict) else {}
    labels = facts.get("labels")
    shown: list[tuple[str, Any]] = [
        ("Losses file", f"{losses.path.name}, {len(losses):,} rows, written {_written(losses)}"),
        ("Model", facts.get("model")),
        ("Revision", facts.get("revision")),
        ("Labels" if losses.is_multi_label else "Classes", _labels(losses, labels)),
        ("Dataset", source.get("name")),
        ("Configuration", source.get("config")),
        ("Split", source.get("split")),
        ("Rows read", f"the first {source['limit']:,}" if isinstance(source.get("limit"), int) else None),
        ("Fingerprint", source.get("fingerprint")),
        ("Text column", facts.get("text_column")),
        ("Second text", facts.get("text_pair_column")),
        ("Label column", facts.get("label_column")),
        ("Longest text", f"{facts['max_length']:,} tokens" if isinstance(facts.get("max_length"), int) else None),
        ("Windows", f"overlapping by {facts['stride']:,} tokens" if isinstance(facts.get("stride"), int) else None),
        ("Precision", _precision(facts)),
        ("Graph", _graph(facts)),
        *_of_run(facts),
    ]
    return [(what, str(value)) for what, value in shown if value is not None]


def _labels(losses: Losses, labels: object) -> str | None:
    if not isinstance(labels, list):
        return None
    return f"{len(labels):,}{', any of which a row may have' if losses.is_multi_label else ''}"


def _precision(facts: dict[str, Any]) -> str | None:
    precision, exact = facts.get("precision"), facts.get("exact_top")
    if precision is None:
        return None
    return f"{precision}: the first {exact:,} rows are as fp32 gives them" if isinstance(exact, int) else str(precision)


def _graph(facts: dict[str, Any]) -> str | None:
    graph, backend = facts.get("graph"), facts.get("backend")
    return f"{graph} on {backend}" if graph and backend else graph or None


def _of_run(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    run = facts.get("run")
    run = run if isinstance(run, dict) else {}
    scored, seconds, versions = run.get("scored"), run.get("seconds"), run.get("versions")
    speed = None
    if isinstance(scored, int) and isinstance(seconds, (int, float)) and seconds > 0:
        speed = f"{scored / seconds:,.0f} rows/s ({scored:,} rows in {seconds:,.1f} s)"
    listed = versions.items() if isinstance(versions, dict) else ()
    return [
        ("Speed", speed),
        ("Versions", ", ".join(f"{_library(name)} {version}" for name, version in listed) or None),
    ]


def _library(backend: str) -> str:
    """What a backend is called where it is installed from; lossaudit itself too."""
    return {"cpu": "onnxruntime", "cuda": "onnxruntime-gpu"}.get(backend, backend)


def _written(losses: Losses) -> str:
    return datetime.fromtimestamp(losses.path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
