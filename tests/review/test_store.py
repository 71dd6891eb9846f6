"""The store of decisions: entries are never lost, the latest one counts, and undo takes back a whole step."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from lossaudit.engine.table.identity import text_key
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.records import records_of
from lossaudit.review.store import Decision, DecisionStore, store_path, utc_now

T = "2026-01-02T03:04:05.000000+00:00"
LATER = "2026-01-02T03:04:06.000000+00:00"


def decision(row, verdict="keep", label=None, annotator="ada", origin="page", made_at=T):
    return Decision(row, verdict, label, annotator, origin, made_at)


@pytest.fixture
def store(losses_file):
    with DecisionStore.open(LossesTable.open(losses_file)) as opened:
        yield opened


def test_what_was_added_is_there_when_opened_again(losses_file):
    made = [decision(1), decision(2, "relabel", "Sports"), decision(3, "unsure"), decision(4, "discard")]
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        store.add(made)
    with DecisionStore.open(LossesTable.open(losses_file), create=False) as store:
        assert store.decisions() == {d.row: d for d in made}
    assert [file.name for file in losses_file.parent.iterdir()] == ["losses.parquet", "losses.parquet.reviews.sqlite"]


def test_the_latest_counts_whoever_made_it(store):
    first, second = decision(1), decision(1, "relabel", "Sports", annotator="bob", made_at=LATER)
    store.add([second])
    store.add([first])
    assert store.decisions() == {1: second}
    assert store.history(1) == [first, second]
    assert store.annotators() == ["ada", "bob"]


def test_of_two_made_at_once_the_one_stored_last_counts(store):
    store.add([decision(1), decision(1, "discard")])
    assert store.decisions()[1].verdict == "discard"


def test_times_count_in_utc(store):
    store.add([decision(1, made_at="2026-01-02T05:04:05+02:00")])
    assert store.decisions()[1].made_at == T


def test_a_time_in_the_future_is_now(store):
    store.add([decision(1, made_at="2999-01-01T00:00:00+00:00")])
    assert store.decisions()[1].made_at <= utc_now()
    store.add([decision(1, "discard", made_at=utc_now())])
    assert store.decisions()[1].verdict == "discard"


def test_a_decision_made_now_counts_after_all_before_it(store, monkeypatch):
    store.add([decision(1, "discard", annotator="bob", made_at=utc_now())], now=True)
    monkeypatch.setattr("lossaudit.review.store.utc_now", lambda: T)  # the clock was set back
    for verdict in ("keep", "unsure"):
        store.add([decision(1, verdict)], now=True)
    assert [d.verdict for d in store.history(1)] == ["discard", "keep", "unsure"]
    store.add([decision(1, "discard", made_at=LATER)])
    assert store.decisions()[1].verdict == "unsure"


def test_undo_takes_back_one_step_of_one_annotator(store):
    bulk = [decision(row, "discard") for row in (5, 6, 7)]
    store.add([decision(1)])
    store.add(bulk)
    store.add([decision(9, annotator="bob")])
    assert store.undo("ada") == bulk
    assert store.undo("ada") == [decision(1)]
    assert store.undo("ada") == []
    assert list(store.decisions()) == [9]


def test_undo_brings_the_decision_before_it_back(store):
    store.add([decision(1)])
    store.add([decision(1, "discard", made_at=LATER)])
    store.undo("ada")
    assert store.decisions() == {1: decision(1)}


def test_adding_the_same_again_changes_nothing(store):
    store.add([decision(1), decision(1), decision(2, "relabel", "World")])
    store.add([decision(1), decision(2, "relabel", "World"), decision(3)])
    assert [len(store.history(row)) for row in (1, 2, 3)] == [1, 1, 1]


def test_one_bad_decision_keeps_all_out(store, refused):
    for bad, part in [
        (decision(2, "delete"), "'delete'"),
        (decision(2, "relabel"), "relabel"),
        (decision(2, "keep", "Sports"), "relabel"),
        (decision(2, annotator=" "), "annotator"),
        (decision(2, made_at="yesterday"), "'yesterday'"),
        (decision(2, made_at="2026-01-02T03:04:05"), "time zone"),
        (decision(-1), "row -1"),
    ]:
        with refused("row", part):
            store.add([decision(1), bad])
    assert store.decisions() == {}


def test_a_row_that_the_losses_file_lacks_is_refused(store, refused):
    with refused("losses.parquet has no row 12"):
        store.add([decision(1), decision(12)])
    assert store.decisions() == {}


def test_a_decision_knows_its_text_and_given_label(store):
    store.add([decision(5)])
    (made,) = store.decisions().values()
    assert (made.text_key, made.given) == (text_key(["example number 5"]), "Sports")


def test_a_store_of_the_first_format_becomes_one_of_today(losses_file):
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        (ranked,) = sqlite3.connect(store.path).execute("SELECT value FROM facts WHERE name = 'ranking'").fetchone()
    store_path(losses_file).unlink()
    write_first_format(store_path(losses_file), ranked)
    for _ in range(2):
        with DecisionStore.open(LossesTable.open(losses_file)) as store:
            assert store.decisions() == {3: decision(3, "relabel", "World"), 4: decision(4)}
            assert [d.verdict for d in store.history(3)] == ["discard", "relabel"]
            assert store.decisions()[3].text_key == text_key(["example number 3"])
            assert store.version() == 2
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert store.undo("ada") == [decision(3, "relabel", "World"), decision(4)]
        assert store.decisions() == {3: decision(3, "discard")}


def test_a_store_of_the_first_format_needs_its_losses_file(losses_file, refused):
    write_first_format(store_path(losses_file), "another ranking")
    with refused("older lossaudit", "another losses file (losses.parquet, since 2026", "move the store away"):
        DecisionStore.open(LossesTable.open(losses_file))


def write_first_format(path, ranked):
    """A store of format 1, with three decisions in two steps."""
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
            "CREATE TABLE decisions (id INTEGER PRIMARY KEY AUTOINCREMENT, step INTEGER NOT NULL, row INTEGER NOT NULL,"
            "verdict TEXT NOT NULL, label TEXT, annotator TEXT NOT NULL, origin TEXT NOT NULL, made_at TEXT NOT NULL);"
            "CREATE INDEX decisions_by_row ON decisions (row, made_at, id);"
            "CREATE INDEX decisions_by_annotator ON decisions (annotator, step);"
            "PRAGMA user_version = 1;"
        )
        facts = {"ranking": ranked, "losses": "losses.parquet", "begun_at": T, "version": 2}
        old.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
        old.executemany(
            "INSERT INTO decisions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
            [
                (1, 3, "discard", None, "ada", "page", T),
                (2, 3, "relabel", "World", "ada", "page", T),
                (2, 4, "keep", None, "ada", "page", T),
            ],
        )
    old.close()


def test_the_version_rises_with_every_change(store, losses_file):
    seen = [store.version()]
    with DecisionStore.open(LossesTable.open(losses_file)) as other:
        for change in (lambda: other.add([decision(1)]), lambda: store.add([decision(2)]), lambda: other.undo("ada")):
            change()
            seen.append(store.version())
        other.undo("nobody")
    assert seen == sorted(set(seen))
    assert store.version() == seen[-1]


def test_a_store_where_none_may_be_made(losses_file, refused):
    with refused("no decisions about", "lossaudit review"):
        DecisionStore.open(LossesTable.open(losses_file), create=False)
    assert not store_path(losses_file).exists()


def test_files_that_are_no_store(losses_file, refused):
    store_path(losses_file).write_bytes(b"something else entirely" * 100)
    with refused("isn't a decision store", "move it away"):
        DecisionStore.open(LossesTable.open(losses_file))
    store_path(losses_file).unlink()
    with sqlite3.connect(store_path(losses_file)) as other:
        other.execute("CREATE TABLE cats (name)")
    other.close()
    with refused("another program's database", "move it away"):
        DecisionStore.open(LossesTable.open(losses_file))
    store_path(losses_file).unlink()
    DecisionStore.open(LossesTable.open(losses_file)).close()
    with sqlite3.connect(store_path(losses_file)) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with refused("newer lossaudit"):
        DecisionStore.open(LossesTable.open(losses_file))


def test_a_place_where_no_store_can_be(losses_file, refused):
    store_path(losses_file).mkdir()
    with refused("can't use", "reviews.sqlite"):
        DecisionStore.open(LossesTable.open(losses_file))


def test_a_killed_process_loses_nothing_that_was_added(losses_file):
    script = (
        "import sys; from pathlib import Path; from lossaudit.engine.table.losses import LossesTable\n"
        "from lossaudit.review.store import Decision, DecisionStore, utc_now\n"
        "store = DecisionStore.open(LossesTable.open(Path(sys.argv[1])))\n"
        "for n in range(10_000):\n"
        "    store.add([Decision(n % 12, 'keep', None, 'ada', 'page', utc_now())])\n"
        "    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, losses_file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().splitlines()]
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert sum(len(store.history(row)) for row in range(12)) >= len(said)


def test_a_store_that_another_process_begins_is_waited_for(losses_file):
    other = sqlite3.connect(store_path(losses_file), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, lambda: other.execute("ROLLBACK")).start()
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert store.decisions() == {}
    other.close()


def test_two_processes_write_at_once(make_losses):
    losses_file = make_losses([("World", "Sports", 1.0, f"text {n}") for n in range(51)])
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_fifty, args=(losses_file, name)) for name in ("ada", "bob")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert len(store.history(0)) == 100
        assert len(store.decisions()) == 51


def _write_fifty(losses_file, name):
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        for number in range(50):
            store.add([decision(0, annotator=name, made_at=utc_now()), decision(number + 1, annotator=name)])


def test_the_store_and_the_records_speak_of_the_same_rows(losses_file, store):
    store.add([decision(record.row) for record in records_of(LossesTable.open(losses_file), 3)])
    assert sorted(store.decisions()) == [0, 1, 2]
