"""Decisions as files: what is taken out comes back the same, once, and finds its rows by text and given label."""

import csv
import json
import shutil

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.exchange import export_decisions, import_decisions
from lossaudit.review.store import Decision, DecisionStore, store_path
from tests.review.sets import ROWS, sets_table, write_sets

T = "2026-01-02T03:04:05.000000+00:00"
LATER = "2026-01-02T03:04:06.000000+00:00"
HOSTILE = '=HYPERLINK("http://a";"b")\n; "ä\u2028'


@pytest.fixture(params=[".jsonl", ".csv"])
def ending(request):
    return request.param


@pytest.fixture
def decided(make_losses):
    """A losses file with decisions of two people, of which one has gone with its text."""
    rows = [("World", "Sports", 3.0, HOSTILE), ("Sports", "World", 2.0, "b"), ("World", "Sports", 1.0, "c")]
    path = make_losses([*rows, ("World", "Sports", 0.5, "gone")])
    with DecisionStore.open(LossesTable.open(path)) as store:
        store.add([Decision(0, "relabel", "Sports", "ada", "page", T), Decision(3, "keep", None, "ada", "page", T)])
        store.add([Decision(0, "discard", None, "bob, b.", "argilla", LATER)])
        store.add([Decision(1, "relabel", "new; label", "ada", "page", LATER)])
    return make_losses(rows)


def all_of(path):
    with DecisionStore.open(LossesTable.open(path), create=False) as store:
        return store.all()


def test_the_round_trip_is_exact_and_the_same_again_is_nothing_new(decided, tmp_path, ending):
    losses, file = LossesTable.open(decided), tmp_path / f"decisions{ending}"
    assert export_decisions(losses, file) == 4
    before, content = all_of(decided), file.read_bytes()
    assert import_decisions(losses, [file, file]).new.total() == 0
    store_path(decided).unlink()
    found = import_decisions(losses, [file])
    assert (dict(found.new), found.known, found.gone, found.unknown) == (
        {"relabel": 2, "discard": 1, "keep": 1}, 0, 1, (),
    )  # fmt: skip
    assert all_of(decided) == before
    assert import_decisions(losses, [file]).known == 4
    export_decisions(losses, file)
    assert file.read_bytes() == content


def test_a_table_in_another_order_takes_them_and_what_has_gone_comes_back(decided, make_losses, tmp_path, ending):
    file = tmp_path / f"decisions{ending}"
    export_decisions(LossesTable.open(decided), file)
    other = make_losses(
        [("World", "World", 1.0, "c"), ("Sports", "World", 2.0, "b"), ("World", "World", 1.0, HOSTILE)],
        name="other.parquet",
    )
    import_decisions(LossesTable.open(other), [file])
    with DecisionStore.open(LossesTable.open(other)) as store:
        assert {row: d.verdict for row, d in store.decisions().items()} == {2: "discard", 1: "relabel"}
        assert [gone.start for gone in store.gone()] == ["gone"]
    make_losses([("World", "Sports", 1.0, "gone")], name="other.parquet")
    with DecisionStore.open(LossesTable.open(other)) as store:
        assert {row: d.verdict for row, d in store.decisions().items()} == {0: "keep"}


def test_colleagues_files_merge_the_same_in_any_order(make_losses, tmp_path):
    rows = [("World", "Sports", 1.0, "a"), ("World", "Sports", 0.5, "b")]
    files = []
    for name, verdict, time in (("ada", "keep", LATER), ("bob", "discard", T)):
        path = make_losses(rows, name=f"{name}.parquet")
        with DecisionStore.open(LossesTable.open(path)) as store:
            store.add([Decision(0, verdict, None, name, "page", time)])
        files.append(tmp_path / f"{name}.jsonl")
        export_decisions(LossesTable.open(path), files[-1])
    merged = []
    for order in (files, files[::-1]):
        path = make_losses(rows, name="merged.parquet")
        for file in order:
            import_decisions(LossesTable.open(path), [file])
        merged.append(all_of(path))
        store_path(path).unlink()
    assert merged[0] == merged[1]
    assert [decision.annotator for _, decision in merged[0]] == ["bob", "ada"]


def test_sets_and_pairs(sets_file, pairs_file, tmp_path, ending):
    with DecisionStore.open(LossesTable.open(sets_file)) as store:
        store.add(
            [
                Decision(0, "relabel", '["fear", "love"]', "ada", "page", T),
                Decision(1, "relabel", "[]", "ada", "page", T),
            ]
        )
    with DecisionStore.open(LossesTable.open(pairs_file)) as store:
        store.add([Decision(1, "keep", None, "ada", "page", T)])
    for path in (sets_file, pairs_file):
        file = tmp_path / f"decisions{ending}"
        export_decisions(LossesTable.open(path), file)
        before = all_of(path)
        assert import_decisions(LossesTable.open(path), [file]).new.total() == 0
        store_path(path).unlink()
        import_decisions(LossesTable.open(path), [file])
        assert all_of(path) == before
    write_sets(sets_table(ROWS[::-1]), sets_file)
    assert {decision.label for _, decision in all_of(sets_file)} == {'["fear", "love"]', "[]"}


def test_what_a_spreadsheet_makes_of_it_is_read(decided, tmp_path):
    file = tmp_path / "decisions.csv"
    export_decisions(LossesTable.open(decided), file)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    names = [*reversed(rows[0]), "my note"]
    with file.open("w", encoding="utf-8-sig", newline="") as opened:
        writer = csv.DictWriter(opened, names, delimiter=";", restval="x")
        writer.writeheader()
        writer.writerows(rows)
    found = import_decisions(LossesTable.open(decided), [file])
    assert (found.new.total(), found.known, found.unknown) == (0, 4, ("my note",))


def test_a_time_to_come_is_now_and_the_same_again_is_nothing_new(decided, tmp_path):
    file = tmp_path / "decisions.jsonl"
    export_decisions(LossesTable.open(decided), file)
    file.write_text(file.read_text(encoding="utf-8").replace("2026-01", "2999-01"), encoding="utf-8")
    assert import_decisions(LossesTable.open(decided), [file]).known == 4  # by the same people, about the same
    store_path(decided).unlink()
    assert import_decisions(LossesTable.open(decided), [file]).new.total() == 4
    assert import_decisions(LossesTable.open(decided), [file]).known == 4


GOOD = {"row": 0, "given": "World", "verdict": "keep", "annotator": "a", "made_at": T, "text_key": "0" * 32}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("{", "line 2, isn't JSON"),
        ("[1]", "line 2, isn't a JSON object"),
        ("{}", "it lacks row"),
        ({"row": "0"}, "row is '0', not a row number"),
        ({"row": True}, "row is True"),
        ({"row": 10**30}, "not a row number"),
        ({"text_key": "5.7E+31"}, "text_key is '5.7E+31', not 32 hexadecimal digits"),
        ({"verdict": "maybe"}, "there is no verdict 'maybe'"),
        ({"verdict": 7}, "verdict is 7, not a text"),
        ({"verdict": "relabel"}, "the verdict relabel needs a new label"),
        ({"annotator": " "}, "the annotator is missing"),
        ({"annotator": "\ud800"}, "annotator is '\\ud800', not a text"),
        ({"label": ["a"], "verdict": "relabel"}, "label is ['a'], not a text"),
        ({"made_at": "yesterday"}, "isn't an ISO 8601 time"),
        ({"made_at": "2026-01-02T03:04:05"}, "has no time zone"),
    ],
)
def test_a_bad_line_is_said_and_nothing_is_stored(decided, tmp_path, refused, change, says):
    before = all_of(decided)
    lines = [json.dumps(GOOD), change if isinstance(change, str) else json.dumps(GOOD | change)]
    file = tmp_path / "bad.jsonl"
    file.write_text("\n".join(lines))
    with refused(says):
        import_decisions(LossesTable.open(decided), [file])
    assert all_of(decided) == before


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"", "decisions are read from .jsonl and .csv files"),
        ("a.jsonl", b"\xff", "can't be read"),
        ("a.csv", b"text,label\na,b\n", "it lacks row"),
        ("a.csv", b"row,verdict\n1\n", "more or fewer cells"),
        ("a.csv", b'row,verdict\n"1', "can't be read"),
    ],
)
def test_files_that_hold_none(decided, tmp_path, refused, name, content, says):
    (tmp_path / name).write_bytes(content)
    with refused(name, says):
        import_decisions(LossesTable.open(decided), [tmp_path / name])


def test_an_empty_file_adds_nothing(decided, tmp_path, ending):
    (tmp_path / f"a{ending}").write_text("\n")
    assert import_decisions(LossesTable.open(decided), [tmp_path / f"a{ending}"]).known == 0


def test_other_files_are_not_replaced(decided, tmp_path, refused, ending):
    mine = tmp_path / f"mine{ending}"
    mine.write_text("text,label\n")
    with refused("doesn't hold decisions"):
        export_decisions(LossesTable.open(decided), mine)
    with refused("must end in .jsonl, .csv"):
        export_decisions(LossesTable.open(decided), tmp_path / "a.xlsx")


def test_no_decisions_to_take_out(make_losses, tmp_path, refused):
    with refused("there are no decisions"):
        export_decisions(LossesTable.open(make_losses([("World", "Sports", 1.0, "a")])), tmp_path / "a.jsonl")


def test_a_moved_store_goes_with_its_losses_file(decided, tmp_path):
    moved = tmp_path / "elsewhere" / "table.parquet"
    moved.parent.mkdir()
    before = all_of(decided)
    shutil.move(decided, moved)
    shutil.move(store_path(decided), store_path(moved))
    assert all_of(moved) == before
