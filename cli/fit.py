"""`lossaudit fit`: an encoder and a labelled dataset to losses from heads that never saw the label."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lossaudit.export.opening import extra, open_encoder

from .command import Command
from .console import err, out, rows_bar, steps
from .findings import listed, print_choice, print_columns, print_conflicts, print_summary, print_unranked
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


@click.command(cls=Command, examples=_EXAMPLES, short_help="Rank a dataset by losses without a fine-tuned model.")
@click.argument("encoder")
@click.argument("dataset")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write: losses.parquet, and a bundle with a head fitted on all rows.",
)
@dataset_options
@model_options
@click.option(
    "--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Parts that heads are fitted without."
)
@click.option(
    "--score",
    type=click.Choice(["blend", "loss"]),
    default="blend",
    show_default=True,
    help="What judges a row: blend also asks the labels of the nearest texts, loss asks the heads alone.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "int8", "fp16"]),
    default="auto",
    show_default=True,
    help="What computes the states (fp16: on a GPU); auto takes the fastest.",
)
@click.option("--restart", is_flag=True, help="Encode all rows anew, also those that an interrupted run had done.")
def fit(
    encoder: str,
    dataset: str,
    output: Path,
    folds: int,
    score: str,
    config: str | None,
    split: str | None,
    restart: bool,
    offline: bool,
    no_tune: bool,
    **asked: Any,
) -> None:
    """Rank DATASET by losses from heads that never saw the label, on the states of ENCODER.

    ENCODER is a folder or hub name: an encoder, a sentence-transformers model, or a fine-tuned classifier, of which
    the encoder is used. It isn't trained: it reads each text once, and small heads are fitted on what it gives. DATASET
    is what `lossaudit audit` takes. Needs the extra: pip install 'lossaudit[fit]'

    Finished shards are kept in the output folder until it is written: after an interruption, the same command goes on.
    """
    if offline:
        go_offline()
    from lossaudit.engine.data.source import open_dataset
    from lossaudit.engine.run.options import AuditOptions

    with extra("fit"):
        from lossaudit.export import fitting
    free_memory_at_once()
    folder = fitting.check_target(output, dataset)
    options = AuditOptions(tune=not no_tune, **asked).checked()
    with steps("Reading") as on_step:
        on_step(dataset)
        rows = open_dataset(dataset, config, split, folder)
    with steps("Opening the encoder") as on_step:
        bundle = open_encoder(encoder, on_step)
    prepared = fitting.Fit(bundle, rows, options, folds, score)
    _print_plan(prepared)
    with prepared.keep_parts(folder, restart) as kept:
        if kept.choice is not None:
            out.print(f"Going on with an interrupted run, whose states are in {kept}", soft_wrap=True)
        with steps("Preparing") as on_step:
            on_step("the default way" if no_tune else "what is fastest here, measured once an encoder and machine")
            print_choice(prepared.choice)
        with rows_bar() as on_stage:
            fitted = prepared.run(kept, output, on_stage)
        kept.discard()
    print_summary(prepared, fitted.audited)
    print_unranked(prepared, fitted.audited)
    if fitted.weights:
        own, neighbours = fitted.weights
        out.print(f"Weights that make the given labels likeliest: heads {own:.2f}, nearest texts {neighbours:.2f}")
    losses = output / fitting.LOSSES
    print_conflicts(fitted.audited.summary, losses)
    print_wrong(losses)
    out.print(
        f"Wrote {losses}, of losses from heads that never saw the row. Decide on the top: lossaudit review {losses} "
        "(or look: lossaudit top)",
        soft_wrap=True,
    )
    out.print(f"Wrote {output / fitting.BUNDLE}, for other rows: a head fitted on all of these", soft_wrap=True)


def _print_plan(fit: "Fit") -> None:
    """Says what was decided before the work begins."""
    print_columns(fit)
    out.print(f"{len(fit.classes)} labels: {_listed(fit.classes)}", soft_wrap=True)
    if fit.of_a_classifier:
        err.print(
            "Warning: the encoder is a fine-tuned classifier's; where it was fine-tuned on these very rows, its states "
            "know their labels, and the losses aren't out of sample",
            style="yellow",
            soft_wrap=True,
        )
    if fit.rare:
        rare = f"Fewer rows than folds: {_listed(fit.rare)}"
        out.print(f"{rare}; the heads that judge them have seen few of the label, or none", soft_wrap=True)


def _listed(labels: dict[str, int]) -> str:
    return listed([f"{label} ({rows:,} rows)" for label, rows in labels.items()])
