"""`lossaudit fit`: ranks a labelled dataset by losses from heads that never saw the label."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lossaudit.export.opening import extra, open_encoder

from .command import Command
from .console import out, rows_bar, steps, warn
from .decided import print_decided_after, print_decided_before
from .findings import listed, print_choice, print_columns, print_repeats, print_summary, print_unranked
from .options import dataset_options, model_options
from .process import free_memory_at_once, go_offline
from .report import print_wrong

if TYPE_CHECKING:
    from lossaudit.export.fitting import Fit

_EXAMPLES = """
lossaudit fit sentence-transformers/all-MiniLM-L6-v2 reviews.csv -o fitted
lossaudit fit ./my-encoder 'parts/*.jsonl.gz' -o fitted --label-column category
lossaudit fit ./my-encoder tickets.csv -o fitted --folds 10
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Rank a dataset by loss without a fine-tuned model.")
@click.argument("encoder")
@click.argument("dataset")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write: losses.parquet, and a bundle whose head is fitted on all rows.",
)
@dataset_options
@model_options
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Parts of the rows; each is scored by heads fitted on the others.",
)
@click.option(
    "--score",
    type=click.Choice(["blend", "loss"]),
    default="blend",
    show_default=True,
    help="How rows are scored: blend also uses the labels of the nearest texts, loss the heads alone.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "int8", "fp16"]),
    default="auto",
    show_default=True,
    help="Precision of the encoder's states (fp16 on a GPU); auto takes the fastest.",
)
@click.option(
    "--exact-labels",
    is_flag=True,
    help="Keep labels apart that differ only in case, blanks or separators, and take N/A, nan … as labels.",
)
@click.option("--no-states", is_flag=True, help="Don't keep the states, with which `lossaudit rerank` learns better.")
@click.option("--restart", is_flag=True, help="Start over: encode all rows again, even those of an interrupted run.")
def fit(
    encoder: str,
    dataset: str,
    output: Path,
    folds: int,
    score: str,
    exact_labels: bool,
    no_states: bool,
    config: str | None,
    split: str | None,
    separator: str | None,
    encoding: str | None,
    no_header: bool,
    sheet: str | None,
    restart: bool,
    offline: bool,
    no_tune: bool,
    **asked: Any,
) -> None:
    """Rank DATASET by losses from heads that never saw the label, on the states of ENCODER.

    ENCODER is a folder or hub name: an encoder, a sentence-transformers model, or a fine-tuned classifier, whose
    encoder is used. It isn't trained: it reads each text once, and small heads are fitted on its output. DATASET is
    anything that `lossaudit audit` accepts. Needs the extra: pip install 'lossaudit[fit]'

    Finished shards are kept in the output folder until the table is written. To resume an interrupted run, run the
    same command again.
    """
    if offline:
        go_offline()
    from lossaudit.engine.data.csv_dialect import Asked
    from lossaudit.engine.data.source import open_dataset
    from lossaudit.engine.run.options import AuditOptions

    with extra("fit"):
        from lossaudit.export import fitting
    free_memory_at_once()
    folder = fitting.check_target(output, dataset)
    written = Asked(separator, encoding, not no_header, sheet)
    options = AuditOptions(tune=not no_tune, **asked).checked()
    decided = print_decided_before(output / fitting.LOSSES)
    with contextlib.ExitStack() as reading:
        with steps("Reading") as on_step:
            on_step(dataset)
            rows = reading.enter_context(open_dataset(dataset, config, split, folder, written))
        with steps("Opening the encoder") as on_step:
            bundle = open_encoder(encoder, on_step)
        prepared = fitting.Fit(bundle, rows, options, folds, score, exact_labels, not no_states)
        _print_plan(prepared)
        with prepared.keep_parts(folder, restart) as kept:
            if kept.choice is not None:
                out.print(f"Resuming an interrupted run; its states are in {kept}", soft_wrap=True)
            with steps("Preparing") as on_step:
                on_step("the defaults" if no_tune else "measuring what is fastest here, once per encoder and machine")
                print_choice(prepared.choice)
            with rows_bar() as on_stage:
                fitted = prepared.run(kept, output, on_stage)
            kept.discard()
    print_summary(prepared, fitted.audited, matched=False)
    print_unranked(prepared, fitted.audited)
    if fitted.weights:
        own, neighbours = fitted.weights
        out.print(f"Weights that make the given labels likeliest: heads {own:.2f}, nearest texts {neighbours:.2f}")
    losses = output / fitting.LOSSES
    print_repeats(fitted.audited.summary, losses)
    print_decided_after(losses, decided)
    print_wrong(losses)
    out.print(
        f"Wrote {losses}; each row was scored by heads that never saw it. "
        f"Next: `lossaudit review {losses}` to decide, or `lossaudit top {losses}` to look",
        soft_wrap=True,
    )
    if fitted.states is not None:
        size = fitted.states.stat().st_size / 1e6
        out.print(
            f"Wrote {fitted.states} ({size:,.1f} MB): the states, with which `lossaudit rerank` learns better",
            soft_wrap=True,
        )
    out.print(f"Wrote {output / fitting.BUNDLE}: a classifier for other rows, fitted on all of these", soft_wrap=True)


def _print_plan(fit: "Fit") -> None:
    """Prints what was decided before the work begins."""
    print_columns(fit)
    out.print(f"{len(fit.classes)} labels: {_listed(fit.classes)}", soft_wrap=True)
    if fit.own.spellings:
        spelled = [f"{name} (also {listed([*map(repr, others)])})" for name, others in fit.own.spellings.items()]
        out.print(f"Spellings of one label: {listed(spelled)}; --exact-labels keeps them apart", soft_wrap=True)
    if fit.own.no_labels:
        words = listed([f"{word!r} ({seen.rows:,} rows)" for word, seen in fit.own.no_labels.items()])
        out.print(f"Taken for missing labels: {words}; --exact-labels makes them labels", soft_wrap=True)
    if fit.of_a_classifier:
        warn(
            "the encoder is from a fine-tuned classifier; if that was fine-tuned on these very rows, the states know "
            "their labels, and the losses aren't out of sample"
        )
    if fit.rare:
        rare = f"Fewer rows than folds: {_listed(fit.rare)}"
        out.print(f"{rare}; the heads that score them have seen few rows with the label, or none", soft_wrap=True)


def _listed(labels: dict[str, int]) -> str:
    return listed([f"{label} ({rows:,} rows)" for label, rows in labels.items()])
