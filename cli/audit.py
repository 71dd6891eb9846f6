"""`lossaudit audit`: a model and a dataset to a ranked losses table."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lossaudit.export.opening import open_model
from lossaudit.version import __version__

from .command import Command
from .console import err, out, rows_bar, steps
from .events import Events, events_to
from .findings import print_choice, print_conflicts, print_plan, print_summary, print_unranked
from .options import dataset_options, model_options
from .process import free_memory_at_once, go_offline
from .report import print_report, print_wrong

if TYPE_CHECKING:
    from lossaudit.engine.run.audit import Audit
    from lossaudit.engine.run.passes import Audited


_EXAMPLES = """
lossaudit audit bundle reviews.csv -o losses.parquet
lossaudit audit ./my-finetuned-model 'parts/*.jsonl.gz' -o losses.jsonl --label-column category
lossaudit audit andi611/distilbert-base-uncased-ner-agnews ag_news --split train -o losses.parquet
lossaudit audit bundle pairs.csv -o losses.parquet --text-column premise --text-pair-column hypothesis
lossaudit audit bundle articles.csv -o losses.parquet --stride 32
lossaudit audit bundle tickets.csv -o losses.csv --label-map refund=Billing --label-map 3=Other
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Score a dataset with a model and rank it by loss.")
@click.argument("model")
@click.argument("dataset")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: .parquet, .jsonl, .json or .csv.",
)
@dataset_options
@click.option(
    "--text-pair-column", metavar="NAME", help="Column with the second text, where the model reads pairs of texts."
)
@click.option(
    "--label-map",
    "label_map",
    multiple=True,
    metavar="GIVEN=MODEL",
    help="Which label of the model a given label is. May be repeated.",
)
@model_options
@click.option(
    "--stride",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read longer texts in windows that share N tokens, instead of cutting them.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "int8", "fp16", "exact-top"]),
    default="auto",
    show_default=True,
    help="exact-top scores all in int8 (on a GPU in fp16) and the top again in fp32; auto does so where it is faster.",
)
@click.option("--top", type=click.IntRange(min=1), help="Rows of the ranking that are exact.  [default: 500]")
@click.option("--restart", is_flag=True, help="Score all rows anew, also those that an interrupted audit had done.")
@click.option("--strict", is_flag=True, help="Stop where a row can't get a loss: no label, no text, or a failure.")
@click.option(
    "--ray",
    "ray_address",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Score on a Ray cluster; without an ADDRESS, on a Ray of this machine alone.",
)
@click.option(
    "--parts", metavar="PLACE", help="Folder or URL for the finished shards.  [default: a folder beside the output]"
)
@click.option("--report", type=click.Path(path_type=Path), help="Write the page of `lossaudit report` too, .html.")
@click.option("--log-json", metavar="FILE", help="Add progress events as JSON Lines to FILE; - is standard error.")
def audit(
    model: str,
    dataset: str,
    output: Path,
    config: str | None,
    split: str | None,
    label_map: tuple[str, ...],
    restart: bool,
    ray_address: str | None,
    parts: str | None,
    report: Path | None,
    log_json: str | None,
    offline: bool,
    no_tune: bool,
    **asked: Any,
) -> None:
    """Score every example of DATASET with MODEL and rank them by loss.

    MODEL is a bundle, or a checkpoint (folder or hub name) that is exported once into a cache. DATASET is a
    CSV, TSV, JSON, JSON Lines or Parquet file (.gz too, or a quoted glob), a save_to_disk folder, or a hub name.

    Finished shards are kept beside the output until it is written: after an interruption, the same command goes on.
    """
    if offline:
        go_offline()
        _check_nobody_is_named(ray_address, parts)
    from lossaudit.engine.data.source import open_dataset
    from lossaudit.engine.labels.alignment import parse_label_map
    from lossaudit.engine.run.audit import Audit
    from lossaudit.engine.run.kept_parts import folder_for
    from lossaudit.engine.run.options import AuditOptions
    from lossaudit.engine.table.formats import check_output, write_table
    from lossaudit.review.report.page import check_report, write_report

    free_memory_at_once()
    options = AuditOptions(label_map=parse_label_map(label_map), tune=not no_tune, **asked).checked()
    check_output(output, dataset)
    if report is not None:
        check_report(report)
    with events_to(log_json) as events:
        events.say("started", version=__version__, model=model, dataset=dataset, output=str(output))
        with steps("Reading") as on_step:
            on_step(dataset)
            rows = open_dataset(dataset, config, split, folder_for(output))
        with steps("Opening the model") as on_step:
            bundle = open_model(model, on_step)
        prepared = Audit(bundle, rows, options)
        print_plan(prepared)
        with prepared.keep_parts(folder_for(output), restart, parts) as kept:
            if kept.choice is not None:
                out.print(f"Going on with an interrupted audit, whose parts are in {kept}", soft_wrap=True)
            with steps("Preparing") as on_step:
                on_step("the default way" if no_tune else "what is fastest here, measured once a bundle and machine")
                print_choice(prepared.choice)
            say_prepared(events, prepared)
            audited = scored(prepared, ray_address, events)
            write_table(audited.rows(), audited.schema, output, kept.scratch)
            kept.discard()
        say_finished(events, audited, output)
    print_summary(prepared, audited)
    print_unranked(prepared, audited)
    print_conflicts(audited.summary, output)
    if report is None:
        print_wrong(output)
    out.print(f"Wrote {output}. Decide on the top: lossaudit review {output} (or look: lossaudit top)", soft_wrap=True)
    if report is not None:
        print_report(write_report(output, report, options.top), report)


def _check_nobody_is_named(ray_address: str | None, parts: str | None) -> None:
    named = [ray_address] if ray_address not in (None, "local") else []
    named += [parts] if parts is not None and "://" in parts else []
    if named:
        raise click.UsageError(f"--offline asks nobody on the network, but {named[0]} is there; leave one of them out")


def scored(audit: "Audit", ray_address: str | None, events: Events) -> "Audited":
    """Runs the audit here or on a cluster, with bars and events."""
    with rows_bar() as on_bar, contextlib.ExitStack() as stack:

        def on_stage(stage: str, rows: int) -> Callable[[int], None]:
            on_bar_rows, on_event_rows = on_bar(stage, rows), events.stage(stage, rows)

            def on_rows(done: int) -> None:
                on_bar_rows(done)
                on_event_rows(done)

            return on_rows

        if ray_address is None:
            return audit.run(on_stage)
        from lossaudit.engine.run.cluster import LOCAL, Cluster

        with steps("Ray") as on_step:
            on_step(ray_address)
            cluster = stack.enter_context(Cluster(ray_address))
        cpus = [f"{count:.0f}" for count in cluster.nodes]
        out.print(f"Ray: {len(cpus)} nodes with {' + '.join(cpus)} CPUs")
        if ray_address != LOCAL and cluster.accepts_anybody():
            err.print(
                f"Warning: the Ray at {ray_address} accepts anybody who reaches it, and runs their code; docs/scale.md "
                "says how to switch its tokens on",
                style="yellow",
                soft_wrap=True,
            )
        return audit.run(on_stage, cluster.score)


def say_prepared(events: Events, audit: "Audit") -> None:
    """What was decided before the work."""
    choice = audit.choice
    events.say(
        "prepared",
        rows=len(audit),
        text_column=audit.reading.text_column,
        text_pair_column=audit.reading.text_pair_column,
        label_column=audit.reading.label_column,
        labels=audit.alignment.how,
        precision=choice.precision,
        **{name: getattr(choice.first, name) for name in ("graph", "backend", "workers", "threads", "budget")},
    )


def say_finished(events: Events, audited: "Audited", output: Path) -> None:
    """What came out."""
    summary = audited.summary
    events.say(
        "finished",
        output=str(output),
        rows=summary.rows,
        ranked=summary.ranked,
        not_ranked={status: seen.rows for status, seen in summary.unranked.items()},
        scored=audited.scored,
        seconds=round(audited.seconds, 3),
        exit_code=0,
    )
