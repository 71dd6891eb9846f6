"""The records of CSV and TSV files: as Python's csv says of files that it wrote, and the file's very text."""

import csv
import io

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lossaudit.engine.data.containers import recognised
from lossaudit.engine.data.csv_cells import cells_of
from lossaudit.engine.data.csv_dialect import Asked, Quotes, dialect_of
from lossaudit.engine.data.csv_rows import MisreadError, other_dialects, records_of

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEPARATORS, LINE_ENDS = (",", ";", "\t", "|"), ("\n", "\r\n")
NO_DOUBT = Asked()


def read(path, asked=NO_DOUBT):
    """The dialect that a file is read by, and its records; None if it is refused for what may be a stray quote."""
    file = recognised(path)
    dialect = dialect_of(file, asked)
    try:
        return dialect, list(records_of(file, dialect))
    except MisreadError as error:
        for other in other_dialects(file, dialect, error):
            try:
                return other, list(records_of(file, other))
            except MisreadError:
                continue
        if "rows of their own" in str(error):
            return None
        raise


def rows_in(records):
    return [record.cells for record in records if record.role == "row"]


def cells(characters):
    return st.text(st.sampled_from(characters), max_size=8)


@st.composite
def tables(draw, characters="ab ,;\t|\"'\n\r\\é1"):
    """A header, and rows of as many cells."""
    width = draw(st.integers(2, 4))
    names = [f"name{place}" for place in range(width)]
    row = st.lists(cells(characters), min_size=width, max_size=width)
    return [names, *draw(st.lists(row, min_size=1, max_size=8))]


def written(table, **options):
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n", **options).writerows(table)  # so that a lone carriage return is quoted
    return file.getvalue()


def all_lines_are_rows(text, separator, width):
    lines = io.StringIO(text, newline="\n")
    return all(len(line.rstrip("\r\n").split(separator)) == width for line in lines)


@many
@given(
    table=tables(),
    separator=st.sampled_from(SEPARATORS),
    line_end=st.sampled_from(LINE_ENDS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    named=st.booleans(),
)
def test_what_pythons_csv_wrote_is_read_as_it_was(table, separator, line_end, quoting, named, tmp_path):
    text = written(table, delimiter=separator, quoting=quoting)
    if line_end == "\n":
        assume(not any("\r\n" in cell for row in table for cell in row))
        text = text.replace("\r\n", "\n")
    assume(not all_lines_are_rows(text, separator, len(table[0])))  # then quotes may be texts, too
    path = tmp_path / ("a.tsv" if separator == "\t" else "a.csv")
    path.write_text(text, newline="")
    found = read(path, Asked(separator=separator if named else None))
    if found is None:
        return
    dialect, records = found
    assert "".join(record.raw for record in records) == text
    assume(not dialect.skips_blanks and dialect.quotes is Quotes.DOUBLED)
    assert rows_in(records) == table[1:]
    for record in records:
        assert [cell.text for cell in cells_of(record.raw, dialect, len(table[0]))] == record.cells


@many
@given(table=tables("ab ,\t'\"1"), separator=st.sampled_from(SEPARATORS), line_end=st.sampled_from(LINE_ENDS))
def test_lines_without_quoting_are_read_as_they_are_cut(table, separator, line_end, tmp_path):
    """TSV as GLUE has it, and CSV if no quote opens a cell."""
    table = [[cell.replace(separator, "") for cell in row] for row in table]
    if separator != "\t":
        table = [[cell.lstrip("\" '") for cell in row] for row in table]
    assume(all(any(cell.strip() for cell in row) and '""' not in separator.join(row) for row in table))
    text = "".join(separator.join(row) + line_end for row in table)
    path = tmp_path / "a.csv"
    path.write_text(text, newline="")
    dialect, records = read(path, Asked(separator=separator))
    assume(dialect.quotes is not Quotes.SINGLE)
    assert "".join(record.raw for record in records) == text
    stripped = [[cell.strip('"') for cell in row] for row in rows_in(records)]
    assert stripped == [[cell.strip('"') for cell in row] for row in table[1:]]


@many
@given(table=tables('ab"1\\ '), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_escaped_quotes_are_read(table, quoting, tmp_path):
    text = written(
        [*table, *[['5\\" "wide"', "a", *table[0][2:]]] * 2], quoting=quoting, doublequote=False, escapechar="\\"
    )
    path = tmp_path / "a.csv"
    path.write_text(text, newline="")
    dialect, records = read(path)
    assert dialect.quotes is Quotes.BACKSLASH
    assert rows_in(records)[:-2] == table[1:]
