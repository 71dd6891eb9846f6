"""One error, two audiences: the library names arguments, the command names flags that can be pasted into a shell."""

import json
import pickle
import shlex
import subprocess

import pandas as pd
import pytest

import lossaudit as la
from lossaudit.cli.main import main
from lossaudit.cli.wording import in_command, message_of
from lossaudit.engine.errors import SAME_AGAIN, Either, Function, LossAuditError, Option

AWKWARD = ("two words", "two  blanks", "it's", 'say "no"', "$HOME `id` \\", "-x", "--strict", "a=b", "日本語", "")


@pytest.mark.parametrize(
    ("part", "library", "command"),
    [
        (Option("text_column"), "text_column", "--text-column"),
        (Option("text_column", "body"), "text_column='body'", "--text-column body"),
        (Option("text_column", "two words"), "text_column='two words'", "--text-column 'two words'"),
        (Option("text_column", "it's"), 'text_column="it\'s"', "--text-column 'it'\"'\"'s'"),
        (Option("text_column", "-x"), "text_column='-x'", "--text-column=-x"),
        (Option("text_column", "a\nb"), "text_column='a\\nb'", "--text-column $'a\\U0000000ab'"),
        (Option("stride", 32), "stride=32", "--stride 32"),
        (Option("stride", -1), "stride=-1", "--stride=-1"),
        (Option("stride", 0), "stride=0", "--stride 0"),
        (Option("strict", True), "strict=True", "--strict"),
        (Option("label_map", {"foo": "World"}), "label_map={'foo': 'World'}", "--label-map foo=World"),
        (Option("label_map", {"a b": "C"}), "label_map={'a b': 'C'}", "--label-map 'a b=C'"),
        (
            Option("label_map", {"1": "World", "-1": "Sports"}),
            "label_map={'1': 'World', '-1': 'Sports'}",
            "--label-map 1=World --label-map=-1=Sports",
        ),
        (Function("export"), "la.export", "lossaudit export"),
        (SAME_AGAIN, "make the same call again", "run the same command again"),
        (Either("delete it", Option("restart")), "delete it", "--restart"),
    ],
)
def test_an_option_is_an_argument_or_a_flag(part, library, command):
    error = LossAuditError("wrong; use ", part, " instead")
    assert str(error) == f"wrong; use {library} instead"
    assert message_of(error) == f"wrong; use {command} instead"


@pytest.mark.parametrize("value", AWKWARD)
def test_what_is_pasted_is_read_as_it_was_meant(value):
    pasted = in_command(
        (Option("text_column", value), " ", Option("label_map", {value: "World"}), " ", Option("stride", 3))
    )
    arguments = ["bundle", "rows.csv", "-o", "losses.csv", *shlex.split(pasted)]
    with main.commands["audit"].make_context("audit", arguments) as context:
        assert context.params["text_column"] == value
        assert context.params["label_map"] == (f"{value}=World",)
        assert context.params["stride"] == 3
    assert eval(f"dict({Option('text_column', value)})") == {"text_column": value}


@pytest.mark.parametrize("value", [*AWKWARD, "two\nlines", "it's\r\\n", "\x1b[31mred", "é\u2028", "\U000e0001"])
def test_a_shell_reads_the_value_again(value):
    pasted = in_command((Option("text_column", value),))
    assert pasted.isprintable()
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {pasted}"], capture_output=True, check=True)
    words = read.stdout.decode().split("\0")[:-1]
    assert words in (["--text-column", value], [f"--text-column={value}"])


def test_an_error_keeps_its_parts_through_a_pickle():
    """Ray's tasks send theirs so."""
    error = pickle.loads(pickle.dumps(LossAuditError("wrong; use ", Option("provider", "cpu"))))
    assert (str(error), message_of(error)) == ("wrong; use provider='cpu'", "wrong; use --provider cpu")


def test_other_errors_are_said_as_they_are():
    assert message_of(ValueError("no --such thing")) == "no --such thing"


@pytest.mark.parametrize(
    ("content", "options", "library", "command"),
    [
        (
            "body,label\nx,0\ny,1\n",
            {"text_column": "text"},
            "name one with text_column:",
            "name one with --text-column:",
        ),
        ("text,a,b\nx,0,1\ny,1,0\n", {}, "name one with label_column:", "name one with --label-column:"),
        (
            "text,label\nx,World\ny,two words\nz,two words\n",
            {},
            "label_map={'two words': 'World'}",
            "--label-map 'two words=World'",
        ),
        ("text,label\nx,World\ny,\n", {"strict": True}, "leave strict out", "leave --strict out"),
        ("text,label\nx,0\ny,1\n", {"max_length": 512}, "max_length=512 is more", "--max-length 512 is more"),
        ("text,label\nx,0\ny,1\n", {"stride": 99}, "stride=99 must be", "--stride 99 must be"),
    ],
)
def test_each_reads_of_the_options_it_has(
    content, options, library, command, bundle_folder, write_file, fails, tmp_path
):
    data, log = write_file("rows.csv", content), tmp_path / "log.jsonl"
    with pytest.raises(LossAuditError) as caught:
        la.audit(bundle_folder, pd.read_csv(data), **options)
    assert library in str(caught.value)
    assert "--" not in str(caught.value)
    flags = [Option(*option) for option in options.items()]
    given = [word for flag in flags for word in shlex.split(in_command((flag,)))]
    fails(["audit", bundle_folder, data, "-o", tmp_path / "losses.csv", "--log-json", log, *given], command)
    assert command in json.loads(log.read_text().splitlines()[-1])["message"]


def test_a_function_is_a_command(fails, tmp_path):
    with pytest.raises(LossAuditError, match=r"make one with `la\.audit`"):
        la.load(tmp_path / "losses.csv")
    fails(["top", tmp_path / "losses.csv"], "make one with `lossaudit audit`")


def test_the_doctor_speaks_as_the_command_does(run, tmp_path):
    result = run("doctor", tmp_path, "--json")
    (finding,) = [check["finding"] for check in json.loads(result.stdout)["checks"] if check["name"] == "bundle"]
    assert "make one with `lossaudit export`" in finding
