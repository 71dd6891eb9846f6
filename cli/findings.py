"""What `audit` and `fit` print: what was decided before the work, and what was found."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from .console import counted, out, seconds, warn
from .wording import in_command

if TYPE_CHECKING:
    from lossaudit.engine.data.rows import Origin
    from lossaudit.engine.model.precision import Choice
    from lossaudit.engine.run.audit import Audit
    from lossaudit.engine.run.passes import Audited
    from lossaudit.engine.table.summary import Summary
    from lossaudit.export.fitting import Fit

_LABELS_SHOWN = 12


def print_plan(audit: "Audit") -> None:
    """Prints what was decided before the work begins."""
    print_columns(audit)
    if audit.reading.text_pair_column is not None:
        out.print(f"Second text column: {audit.reading.text_pair_column} (specified)")
    if audit.setup.note_on_pairs is not None:
        warn(audit.setup.note_on_pairs)
    names = audit.bundle.manifest.labels
    classes = sorted(audit.alignment.classes.items(), key=lambda item: item[1])
    shown = listed([f"{key} → {names[index]}" for key, index in classes])
    out.print(f"Labels matched {audit.alignment.how}: {shown}", soft_wrap=True)
    if audit.alignment.not_in_model:
        unknown = listed([f"{name} ({seen.rows:,} rows)" for name, seen in audit.alignment.not_in_model.items()])
        out.print(f"Labels not in the model, not ranked: {unknown}", soft_wrap=True)
    threads, cpus = audit.options.threads, audit.setup.cpus
    if threads is not None and threads > cpus:
        out.print(f"Threads: {cpus}, since no more CPUs are available here ({threads} specified)")


def print_columns(prepared: "Audit | Fit") -> None:
    """Prints how the dataset was read, its splits, and the columns of texts and labels."""
    options, reading = prepared.options, prepared.reading
    for note in reading.rows.notes:
        out.print(in_command(note), soft_wrap=True)
    if told := _splits(reading.rows.origin):
        out.print(told, soft_wrap=True)
    columns = ("Text", reading.text_column, options.text_column), ("Label", reading.label_column, options.label_column)
    for what, column, asked in columns:
        if column is not None:
            out.print(f"{what} column: {column} ({'guessed' if asked is None else 'specified'})")
    if options.label_column is None and reading.label_column is not None and (others := reading.other_label_columns()):
        (guessed,) = reading.shown([reading.label_column])
        out.print(
            f"The labels might not be in {guessed} but in another column: {', '.join(others)}; see --label-column",
            soft_wrap=True,
        )


def _splits(origin: "Origin | None") -> str | None:
    """The splits that are read, or were not though nobody named one."""
    if origin is None:
        return None
    if origin.splits:
        splits = [f"{split.name} ({counted(split.rows, 'row')})" for split in origin.splits]
        return f"Splits: {listed(splits)}"
    if origin.split is None and len(origin.all_splits) > 1:
        return f"Split: train of {listed(list(origin.all_splits))} (guessed); --split all reads them all"
    return None


def listed(labels: list[str]) -> str:
    """The first labels, and the number of the others."""
    more = f" and {len(labels) - _LABELS_SHOWN} more" if len(labels) > _LABELS_SHOWN else ""
    return ", ".join(labels[:_LABELS_SHOWN]) + more


def print_choice(choice: "Choice") -> None:
    """Prints what will compute the losses, and why."""
    plan = choice.first
    cpus = f"{plan.workers} × {plan.threads} threads, batches of {plan.budget} tokens"
    out.print(f"Precision: {choice.precision} ({choice.why}); {plan.graph} on {plan.backend}, {cpus}", soft_wrap=True)


def print_summary(prepared: "Audit | Fit", audited: "Audited", matched: bool = True) -> None:
    """Prints what was found. matched: whether the dataset's labels were matched with a model's."""
    from lossaudit.engine.model.bundle import MULTI_LABEL

    summary = audited.summary
    speed = audited.scored / audited.seconds
    kept = f" ({summary.rows - audited.scored:,} of them earlier)" if audited.scored < summary.rows else ""
    out.print(f"\n{summary.rows:,} rows in {seconds(audited.seconds)}{kept}, {speed:,.0f} rows/s", style="bold")
    if prepared.task.name == MULTI_LABEL:
        out.print(
            f"Prediction equals the given labels: {summary.label_accuracy:.1%} of labels, all labels in "
            f"{summary.accuracy:.1%} of rows; mean loss of the worst label {summary.mean_loss:.3f}",
            soft_wrap=True,
        )
    else:
        out.print(f"Prediction equals the given label: {summary.accuracy:.1%}; mean loss {summary.mean_loss:.3f}")
    _print_tip(prepared.choice)
    if audited.exact is not None:
        out.print(
            f"The top {prepared.choice.top} is exact: {len(audited.exact.rows):,} rows were scored again in fp32, "
            f"until no other row could enter (margin {audited.exact.margin:.2f} in log-odds)",
            soft_wrap=True,
        )
    if summary.truncated:
        out.print(f"Cut at {prepared.setup.max_length} tokens: {summary.truncated:,} rows")
    if summary.label_accuracy < summary.chance:
        doubt = (
            "are the labels matched correctly? See --label-map" if matched else "are they labels? See --label-column"
        )
        warn(f"the model agrees with fewer labels than chance would; {doubt}")
    _print_doubts(summary)


def print_repeats(summary: "Summary", losses: Path) -> None:
    """Says how many texts have different given labels or are in several splits, and how to see them."""
    texts, rows = summary.conflicting_texts, summary.conflicting_rows
    if texts:
        what = "1 text has" if texts == 1 else f"{texts:,} texts have"
        out.print(
            f"{what} different given labels, in {rows:,} rows, so at least {texts:,} of these labels "
            f"{'is' if texts == 1 else 'are'} wrong: lossaudit top {losses} --conflicts",
            soft_wrap=True,
        )
    texts, rows, conflicting = summary.leaking_texts, summary.leaking_rows, summary.conflicting_leaks
    if texts:
        what = "1 text is" if texts == 1 else f"{texts:,} texts are"
        have = "has" if conflicting == 1 else "have"
        out.print(
            f"{what} in several splits, in {rows:,} rows"
            f"{f'; {conflicting:,} of these texts {have} different given labels' if conflicting else ''}: "
            f"lossaudit top {losses} --leaks",
            soft_wrap=True,
        )


def _print_doubts(summary: "Summary") -> None:
    """Prints the pairs, or the labels of a multi-label model, that are doubted most."""
    pairs = [(pair.label_name, pair.prediction_name, pair.rows, pair.mean_loss) for pair in summary.pairs]
    doubts = [(d.label_name, "drop" if d.given else "add", d.rows, d.mean_loss) for d in summary.doubts]
    if not pairs and not doubts:
        return
    table = Table(
        *(("label", "the model would") if doubts else ("given", "predicted")),
        Column("rows", justify="right"),
        Column("mean loss", justify="right"),
        box=SIMPLE_HEAD,
    )
    for label, contrary, rows, mean_loss in pairs or doubts:
        table.add_row(Text(label), Text(contrary), f"{rows:,}", f"{mean_loss:.2f}")
    out.print("\nWhere the model disagrees most:")
    out.print(table)


def print_unranked(prepared: "Audit | Fit", audited: "Audited") -> None:
    """Prints which rows have no loss, and where the first of each kind is."""
    from lossaudit.engine.data.source import locate

    unranked = audited.summary.unranked
    if not unranked:
        return
    where = locate(prepared.reading.rows.origin, [seen.first for seen in unranked.values()])
    total = sum(seen.rows for seen in unranked.values())
    out.print(f"\nNot ranked: {total:,} rows, at the end of the table:")
    for status, seen in unranked.items():
        out.print(f"  {status}: {seen.rows:,} (first: {where[seen.first]})", soft_wrap=True)


def _print_tip(choice: "Choice") -> None:
    """Suggests an extra where it may be faster (figures from docs/install.md)."""
    from lossaudit.engine.model import backends

    if (
        choice.precision != "fp32"
        and choice.first.backend == backends.CPU
        and backends.OPENVINO not in backends.available()
    ):
        out.print(
            "Tip: on some CPUs, OpenVINO is 1.2 × as fast for long texts, though not for short ones (docs/install.md): "
            "pip install 'lossaudit[openvino]'",
            soft_wrap=True,
        )
