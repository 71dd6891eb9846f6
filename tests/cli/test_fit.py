"""`lossaudit fit`: its messages, its output, and one line per mistake."""

import pytest

from lossaudit.engine.table.losses import LossesTable


@pytest.fixture
def topics(write_file):
    """A CSV of 60 texts of two topics; the tiny tokenizer knows no numbers, so they differ in length."""
    lines = [f"{'the ' * n}bank shares profit,money\n{'the ' * n}team cup coach,sport" for n in range(30)]
    return write_file("topics.csv", "text,label\n" + "\n".join(lines) + "\n")


@pytest.fixture
def fit(run, encoder_folder, topics, tmp_path):
    """Fits on the tiny encoder's bundle; returns what was said."""

    def go(*options, dataset=topics, encoder=encoder_folder):
        result = run("fit", encoder, dataset, "-o", tmp_path / "fitted", "--no-tune", "--precision", "fp32", *options)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return go


def test_it_says_what_it_decided_found_and_wrote(fit, tmp_path):
    said = fit()
    for part in (
        "Text column: text (guessed)",
        "Label column: label (guessed)",
        "2 labels: money (30 rows), sport (30 rows)",
        "Precision: fp32 (as asked)",
        "60 rows in",
        "mean loss",
        f"Wrote {tmp_path / 'fitted' / 'losses.parquet'}",
        f"Wrote {tmp_path / 'fitted' / 'bundle'}",
    ):
        assert part in said
    assert "Fewer rows" not in said
    written = ["bundle", "losses.parquet", "losses.parquet.states.parquet"]
    assert sorted(path.name for path in (tmp_path / "fitted").iterdir()) == written


def test_states_are_kept_or_left_out(fit, tmp_path):
    states = tmp_path / "fitted" / "losses.parquet.states.parquet"
    assert f"Wrote {states} (0.0 MB): the states" in fit()
    assert str(states) not in fit("--no-states")
    assert not states.exists()


def test_the_next_commands_take_what_it_wrote(fit, run, topics, tmp_path):
    fit()
    assert run("top", tmp_path / "fitted" / "losses.parquet").exit_code == 0
    output = tmp_path / "losses.csv"
    assert run("audit", tmp_path / "fitted" / "bundle", topics, "-o", output, "--no-tune").exit_code == 0
    assert len(LossesTable.open(output)) == 60


@pytest.mark.parametrize("kind", ["an encoder", "a classifier"])
def test_a_checkpoint_is_taken(kind, fit, encoder_checkpoint, checkpoint):
    encoder = {"an encoder": encoder_checkpoint, "a classifier": checkpoint}[kind]
    said = fit(encoder=encoder)
    assert "60 rows" in said
    assert ("the states know their labels" in said) == (kind == "a classifier")


def test_an_exported_encoder_is_taken(fit, run, encoder_checkpoint, tmp_path):
    exported = run("export", encoder_checkpoint, "-o", tmp_path / "encoder", "--encoder")
    assert exported.exit_code == 0, exported.output
    assert "BertModel, 32 numbers per text" in exported.stdout
    assert "Parity with PyTorch" in exported.stdout
    assert "60 rows" in fit(encoder=tmp_path / "encoder")
    refused = run("export", encoder_checkpoint, "-o", tmp_path / "other", "--encoder", "--multi-label")
    assert refused.exit_code == 2
    assert "--multi-label is for classifiers" in refused.stderr


def test_labels_of_few_rows_are_said(fit, topics):
    topics.write_text(topics.read_text() + "ice planet,odd\n")
    assert "Fewer rows than folds: odd (1 rows)" in fit("--folds", 3)


def test_spellings_and_words_for_nothing_are_said(fit, topics):
    topics.write_text(topics.read_text() + "ice planet,Sport\nice, SPORT\nplanet,N/A\n")
    said = fit()
    assert "2 labels: money (30 rows), sport (32 rows)" in said
    assert "Spellings of one label: sport (also 'Sport', ' SPORT'); --exact-labels keeps them apart" in said
    assert "Taken for missing labels: 'N/A' (1 rows); --exact-labels makes them labels" in said
    assert "missing_label: 1 (first: row 62 of" in said
    exact = fit("--exact-labels", "--folds", 2)
    assert "5 labels:" in exact
    assert "Spellings" not in exact


def test_rows_that_are_not_ranked_are_said(fit, topics):
    topics.write_text(topics.read_text() + "ice planet,\n,money\n")
    said = fit()
    assert "missing_label: 1 (first: row 60 of" in said
    assert "empty_text: 1 (first: row 61 of" in said


def test_the_same_text_with_different_labels_is_said(fit, topics, tmp_path):
    topics.write_text(topics.read_text() + "ice planet odd,money\nice  planet odd,sport\n")
    said = "1 text has different given labels, in 2 rows, so at least 1 of these labels is wrong"
    assert f"{said}: lossaudit top {tmp_path / 'fitted' / 'losses.parquet'} --conflicts" in fit()


@pytest.mark.parametrize(
    ("content", "options", "parts"),
    [
        ("text,label\na,x\nb,x\n", (), ("only the label 'x'",)),
        ("text,label\na,x\nb,y\n", (), ("only 2 rows have a label, fewer than --folds 5",)),
        ("text,label\na,x\nb,y\n", ("--folds", 2, "--text-column", "body"), ("there is no column 'body'",)),
        ("text,label\na,x\nb,y\n", ("--folds", 2, "--max-length", 5000), ("--max-length 5000 is more",)),
    ],
)
def test_bad_input_is_one_line(content, options, parts, fails, encoder_folder, write_file, tmp_path):
    data = write_file("rows.csv", content)
    fails(("fit", encoder_folder, data, "-o", tmp_path / "fitted", *options), *parts)
    assert not (tmp_path / "fitted").exists()


def test_the_bundle_of_a_classifier_is_refused(fails, bundle_folder, topics, tmp_path):
    fails(("fit", bundle_folder, topics, "-o", tmp_path / "fitted"), "bundle of a classifier")


def test_a_folder_of_something_else_is_refused(fails, encoder_folder, topics, tmp_path):
    fails(("fit", encoder_folder, topics, "-o", tmp_path), str(tmp_path), "holds other files")


def test_an_encoder_that_is_not_there_is_refused(fails, topics, tmp_path):
    fails(("fit", tmp_path / "nothing", topics, "-o", tmp_path / "fitted"), "nothing isn't a checkpoint")


def test_audit_sends_an_encoder_to_fit(fails, encoder_folder, encoder_checkpoint, topics, tmp_path):
    for model in (encoder_folder, encoder_checkpoint):
        fails(("audit", model, topics, "-o", tmp_path / "losses.csv"), "lossaudit fit")
