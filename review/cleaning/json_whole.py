"""Changes the cells of a JSON file whose one object is around all rows, in the shapes of `json_rows.shape_of`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lossaudit.engine.table.text_rows import Row

from .edit import Edit
from .json_edit import Spelling, edited_object, edited_value
from .json_scan import Change, Span, added, by_name, changed, spans_of, without


def edited_whole(text: str, whole: Row, shape: str, edit: Edit, spelling: Spelling) -> str:
    """The text of the object as it will be. shape: how it is around the rows."""
    members = by_name(spans_of(text, 0))
    return changed(text, _SHAPES[shape](text, members, whole, edit, spelling))


def _records(text: str, members: Mapping[str, Span], whole: Row, edit: Edit, spelling: Spelling) -> list[Change]:
    """A list of objects in one of the fields."""
    lists = {name: value for name, value in whole.items() if isinstance(value, list) and value}
    name = next(name for name, rows in lists.items() if all(type(row) is dict for row in rows))
    return _objects(text, spans_of(text, members[name].value), whole[name], edit, spelling)


def _index(text: str, members: Mapping[str, Span], whole: Row, edit: Edit, spelling: Spelling) -> list[Change]:
    """An object for each row."""
    return _objects(text, list(members.values()), whole.values(), edit, spelling)


def _objects(text: str, spans: list[Span], rows: Iterable[Row], edit: Edit, spelling: Spelling) -> list[Change]:
    changes: list[Change] = []
    dropped = set()
    for place, (span, row) in enumerate(zip(spans, rows, strict=True)):
        if not edit.concerns(place):
            continue
        new = edit.row(place, row)
        if new is None:
            dropped.add(place)
        else:
            changes += edited_object(text, span.value, row, new, spelling)
    return changes + without(spans, dropped)


def _split(text: str, members: Mapping[str, Span], whole: Row, edit: Edit, spelling: Spelling) -> list[Change]:
    """The names of columns, and a list of cells for each row."""
    names = whole["columns"]
    spans = spans_of(text, members["data"].value)
    changes: list[Change] = []
    dropped, more = set(), dict[str, None]()
    for place, (span, cells) in enumerate(zip(spans, whole["data"], strict=True)):
        if not edit.concerns(place):
            continue
        row = dict(zip(names, cells, strict=True))
        new = edit.row(place, row)
        if new is None:
            dropped.add(place)
            continue
        items = spans_of(text, span.value)
        for item, name in zip(items, names, strict=True):
            changes += edited_value(text, item, row[name], new[name], spelling)
        extra = [name for name in new if name not in row]
        more |= dict.fromkeys(extra)
        changes += added(text, span.value, items, [spelling.of(new[name]) for name in extra], ", ")
    columns = members["columns"].value
    changes += added(text, columns, spans_of(text, columns), [spelling.of(name) for name in more], ", ")
    if "index" in members and len(spans_of(text, members["index"].value)) == len(spans):
        changes += without(spans_of(text, members["index"].value), dropped)
    return changes + without(spans, dropped)


def _columns(text: str, members: Mapping[str, Span], whole: Row, edit: Edit, spelling: Spelling) -> list[Change]:
    """An object of row names for each column."""
    cells = {name: by_name(spans_of(text, span.value)) for name, span in members.items()}
    changes: list[Change] = []
    rows = list(next(iter(whole.values())))
    dropped, more = set(), dict[str, Row]()
    for place, name_of_row in enumerate(rows):
        if not edit.concerns(place):
            continue
        row = {name: column[name_of_row] for name, column in whole.items()}
        new = edit.row(place, row)
        if new is None:
            dropped.add(name_of_row)
            continue
        for name, value in new.items():
            if name in row:
                changes += edited_value(text, cells[name][name_of_row], row[name], value, spelling)
            else:
                more.setdefault(name, {})[name_of_row] = value
    for column in cells.values():
        changes += without(list(column.values()), {at for at, name in enumerate(column) if name in dropped})
    return changes + _more_columns(text, members, more, spelling)


def _lists(text: str, members: Mapping[str, Span], whole: Row, edit: Edit, spelling: Spelling) -> list[Change]:
    """A list for each column."""
    cells = {name: spans_of(text, span.value) for name, span in members.items()}
    changes: list[Change] = []
    rows = len(next(iter(whole.values())))
    dropped, more = set(), dict[str, list[Any]]()
    for place in filter(edit.concerns, range(rows)):
        row = {name: column[place] for name, column in whole.items()}
        new = edit.row(place, row)
        if new is None:
            dropped.add(place)
            continue
        for name, value in new.items():
            if name in row:
                changes += edited_value(text, cells[name][place], row[name], value, spelling)
            else:
                more.setdefault(name, []).append(value)
    for spans in cells.values():
        changes += without(spans, dropped)
    return changes + _more_columns(text, members, more, spelling)


def _more_columns(
    text: str, members: Mapping[str, Span], columns: Mapping[str, Any], spelling: Spelling
) -> list[Change]:
    texts = [f"{spelling.of(name)}: {spelling.of(column)}" for name, column in columns.items()]
    return added(text, 0, list(members.values()), texts, ", ")


_SHAPES: Mapping[str, Callable[[str, Mapping[str, Span], Row, Edit, Spelling], list[Change]]] = {
    "records": _records,
    "index": _index,
    "split": _split,
    "columns": _columns,
    "lists": _lists,
}
