"""`lossaudit audit`: scores a dataset with a model and writes a ranked losses table."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lossaudit.export.opening import open_model
from lossaudit.version import __version__

from .command import Command
from .console import out, rows_bar, steps, warn
from .decided import print_decided_after, print_decided_before
from .events import Events, events_to
from .findings import print_choice, print_plan, print_repeats, print_summary, print_unranked
from .options import dataset_options, model_options
from .process import free_memory_at_once, go_offline
from .report import print_report, print_wrong
from .wording import in_command

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
    "--text-pair-column", metavar="NAME", help="Column with the second text, if the model reads pairs of texts."
)
@click.option(
    "--label-map",
    "label_map",
    multiple=True,
    metavar="GIVEN=MODEL",
    help="The model's label that a given label stands for. May be repeated.",
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
    help="exact-top scores all rows in int8 (fp16 on a GPU) and the top again in fp32; auto uses it where it pays.",
)
@click.option("--top", type=click.IntRange(min=1), help="Top rows whose ranking is exact.  [default: 500]")
@click.option("--restart", is_flag=True, help="Start over: score all rows again, even those of an interrupted audit.")
@click.option("--strict", is_flag=True, help="Stop if a row can't get a loss: no label, no text, or a failure.")
@click.option(
    "--ray",
    "ray_address",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Score on a Ray cluster; without ADDRESS, on one that is started here.",
)
@click.option(
    "--parts", metavar="PLACE", help="Folder or URL for the finished shards.  [default: a folder beside the output]"
)
@click.option("--report", type=click.Path(path_type=Path), help="Also write the page of `lossaudit report`, .html.")
@click.option("--log-json", metavar="FILE", help="Append progress events as JSON Lines to FILE; - is standard error.")
def audit(
    model: str,
    dataset: str,
    output: Path,
    config: str | None,
    split: str | None,
    separator: str | None,
    encoding: str | None,
    no_header: bool,
    sheet: str | None,
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

    MODEL is a bundle, or a checkpoint (folder or hub name), which is exported once into a cache. DATASET is a
    CSV, TSV, JSON, JSON Lines, Parquet, Arrow or Excel file (compressed or not, or a quoted glob), a save_to_disk
    folder, or a hub name.

    Finished shards are kept beside the output until it is written. To resume an interrupted audit, run the same
    command again.
    """
    if offline:
        go_offline()
        _check_nobody_is_named(ray_address, parts)
    from lossaudit.engine.data.csv_dialect import Asked
    from lossaudit.engine.data.source import open_dataset
    from lossaudit.engine.labels.alignment import parse_label_map
    from lossaudit.engine.run.audit import Audit
    from lossaudit.engine.run.kept_parts import folder_for
    from lossaudit.engine.run.options import AuditOptions
    from lossaudit.engine.table.formats import check_output, write_table
    from lossaudit.review.report.page import check_report, write_report

    free_memory_at_once()
    written = Asked(separator, encoding, not no_header, sheet)
    options = AuditOptions(label_map=parse_label_map(label_map), tune=not no_tune, **asked).checked()
    check_output(output, dataset)
    if report is not None:
        check_report(report)
    decided = print_decided_before(output)
    with events_to(log_json) as events, contextlib.ExitStack() as reading:
        events.say("started", version=__version__, model=model, dataset=dataset, output=str(output))
        with steps("Reading") as on_step:
            on_step(dataset)
            rows = reading.enter_context(open_dataset(dataset, config, split, folder_for(output), written))
        with steps("Opening the model") as on_step:
            bundle = open_model(model, on_step)
        prepared = Audit(bundle, rows, options)
        print_plan(prepared)
        with prepared.keep_parts(folder_for(output), restart, parts) as kept:
            if kept.taken_from is not None:
                warn(
                    f"{kept} can't be locked. It was used by {kept.taken_from}; if that still runs, it will end at its "
                    "next part"
                )
            if kept.choice is not None:
                out.print(f"Resuming an interrupted audit; its parts are in {kept}", soft_wrap=True)
            with steps("Preparing") as on_step:
                on_step("the defaults" if no_tune else "measuring what is fastest here, once per bundle and machine")
                print_choice(prepared.choice)
            say_prepared(events, prepared)
            audited = scored(prepared, ray_address, events)
            write_table(audited.rows(), audited.schema, output, kept.scratch)
            kept.discard()
        say_finished(events, audited, output)
    print_summary(prepared, audited)
    print_unranked(prepared, audited)
    print_repeats(audited.summary, output)
    print_decided_after(output, decided)
    if report is None:
        print_wrong(output)
    out.print(
        f"Wrote {output}. Next: `lossaudit review {output}` to decide, or `lossaudit top {output}` to look",
        soft_wrap=True,
    )
    if report is not None:
        print_report(write_report(output, report, options.top), output, report)


def _check_nobody_is_named(ray_address: str | None, parts: str | None) -> None:
    named = [ray_address] if ray_address not in (None, "local") else []
    named += [parts] if parts is not None and "://" in parts else []
    if named:
        raise click.UsageError(f"--offline forbids the network, but {named[0]} is on it; leave one of them out")


def scored(audit: "Audit", ray_address: str | None, events: Events) -> "Audited":
    """Runs the audit here or on a cluster, with progress bars and events."""
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
            warn(
                f"the Ray cluster at {ray_address} accepts anyone who reaches it, and runs their code; docs/scale.md "
                "explains how to turn its tokens on"
            )
        return audit.run(on_stage, cluster.score)


def say_prepared(events: Events, audit: "Audit") -> None:
    """Logs the decisions made before scoring."""
    choice = audit.choice
    events.say(
        "prepared",
        rows=len(audit),
        text_column=audit.reading.text_column,
        text_pair_column=audit.reading.text_pair_column,
        label_column=audit.reading.label_column,
        labels=audit.alignment.how,
        notes=[in_command(note) for note in audit.reading.rows.notes],
        precision=choice.precision,
        **{name: getattr(choice.first, name) for name in ("graph", "backend", "workers", "threads", "budget")},
    )


def say_finished(events: Events, audited: "Audited", output: Path) -> None:
    """Logs the outcome."""
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
