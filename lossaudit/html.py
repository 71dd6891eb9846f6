"""The top of a losses table as HTML, for notebooks."""

import html

from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.losses import LossesTable


def as_html(table: LossesTable, rows: int) -> str:
    """The rows of highest loss."""
    texts = table.text_columns
    worst = ["worst_label"] if table.is_multi_label else []
    split = ["split"] if table.has_splits else []
    columns = ["id", *split, "loss", "label_name", "prediction_name", *worst, "probability", *texts]
    top = table.top(rows).select(columns).to_pylist()
    names = ["id", *split, "loss", "given", "predicted", *worst, "probability", *texts]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_shown(value)}</td>' for value in row.values())}</tr>" for row in top)
    more = f"<p>{len(table):,} rows; the {len(top)} of highest loss are shown</p>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return html.escape(shortened(str(value), 200))
