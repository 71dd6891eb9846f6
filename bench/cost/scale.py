"""What one process does for a whole cluster: it reads rows, sends them, takes parts back, keeps and merges them.

    python -m bench.cost.scale --model MODEL --data DATA

Nodes score; this process feeds them, so its rows/s is what more nodes can't pass. Scores some shards once, then times
each of its steps on them over and over. Out comes a table; docs/scale.md says what follows from it.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import pyarrow as pa

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.cluster import LOCAL, Cluster
from lossaudit.engine.run.kept_parts import KeptParts, part_stem
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.sharding import SHARD_ROWS
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.summary import Tally
from lossaudit.export.exporter import cached_bundle

from ..machine import Machine

_TIMES = 30


@click.command()
@click.option("--model", required=True, help="A bundle's checkpoint.")
@click.option("--data", required=True, help="A dataset of more than a shard of rows.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the page.")
def main(model: str, data: str, output: Path | None) -> None:
    """Measure what feeding a cluster costs a row."""
    rows = open_dataset(data)
    audit = Audit(cached_bundle(model, lambda step: None), rows, AuditOptions(precision="int8", limit=SHARD_ROWS))
    audited = audit.run()
    part = audited.table
    source = rows.take(0, SHARD_ROWS)
    n = len(part)
    characters = sum(map(len, source[audit.reading.text_column].to_pylist())) / n
    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Cluster(LOCAL) as cluster:
        ray = cluster._ray
        steps["read a shard from the Arrow file"] = _seconds(lambda: next(rows.shards(SHARD_ROWS)))
        steps["send the rows through Ray, and take the part"] = _seconds(
            lambda: (ray.get(ray.put(source)), ray.get(ray.put(part)))
        )
        steps["count it up"] = _seconds(lambda: Tally(4).add(part))
        with KeptParts.open(Path(folder) / "parts", {}) as kept:
            kept.decide(audit.choice)
            steps["write it as Parquet, with hash and fsync"] = _seconds(lambda: kept.write(part_stem(0), part))
            size = next(kept.path.glob("part-*")).stat().st_size / n
            kept.discard()
        feeding = sum(steps.values())
        steps["merge and write the losses table"] = _merge_seconds(audit, part, Path(folder))
        table_size = (Path(folder) / "losses.parquet").stat().st_size / n
    lines = [
        f"{Machine.here()}; {n:,} rows of {Path(data).name}, {characters:.0f} characters each",
        "",
        "| step | ms a shard | rows/s |",
        "|---|--:|--:|",
        *(f"| {name} | {seconds * 1000:.1f} | {n / seconds:,.0f} |" for name, seconds in steps.items()),
        f"| feeding, all but the merge | {feeding * 1000:.1f} | {n / feeding:,.0f} |",
        "",
        f"A row takes {size:.0f} bytes of parts and {table_size:.0f} bytes of the losses table.",
    ]
    click.echo("\n".join(lines))
    if output is not None:
        (output / f"scale-{Machine.here().slug}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _seconds(step: Callable[[], object]) -> float:
    """The median time of a step."""
    taken = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[_TIMES // 2]


def _merge_seconds(audit: Audit, part: pa.Table, folder: Path) -> float:
    from lossaudit.engine.table.merge import ranked

    def merge() -> None:
        pieces = ranked(lambda: iter([part]), lambda: iter([part.select(["loss"])]), len(audit), folder)
        write_table(pieces, part.schema, folder / "losses.parquet")

    return _seconds(merge)


if __name__ == "__main__":
    main()
