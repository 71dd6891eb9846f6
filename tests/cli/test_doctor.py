"""`lossaudit doctor`: its output and exit code."""

import json

import pytest

from lossaudit.engine.doctor import speed


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Speed tests of hundredths of a second: only that there are figures matters here."""
    monkeypatch.setattr(speed, "SECONDS", 0.04)


def test_of_a_bundle(run, bundle_folder):
    result = run("doctor", bundle_folder)
    assert result.exit_code == 0
    for said in ("onnxruntime", "BertForSequenceClassification", "int8-static", "tokens/s", "audit would choose"):
        assert said in result.stdout
    assert "In order: 0 problems" in result.stdout


def test_as_json(run, bundle_folder):
    result = run("doctor", bundle_folder, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["problems"] == 0
    assert found["bundle"]["manifest"]["labels"] == ["World", "Sports", "Business", "Sci/Tech"]
    assert all(speed["tokens_per_second"] > 0 for speed in found["bundle"]["speed"]["speeds"])
    assert {check["state"] for check in found["checks"]} <= {"ok", "note", "problem"}


def test_a_problem_is_exit_code_2_and_the_rest_is_still_looked_at(run, tmp_path):
    result = run("doctor", tmp_path)
    assert result.exit_code == 2
    assert "is not a bundle" in " ".join(result.stdout.split())
    assert "1 problems" in result.stdout
    assert "onnxruntime" in result.stdout


def test_without_a_bundle(run):
    result = run("doctor")
    assert result.exit_code == 0
    assert "tokens/s" not in result.stdout
    assert "cache" in result.stdout


def test_names_with_markup_are_only_text(run, bundle_copy):
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["source"]["name"] = "[red]model[/red]"
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    assert "[red]model[/red]" in run("doctor", bundle_copy).stdout


def test_advice_is_shown(run, write_file, monkeypatch, tmp_path):
    write_file("onnxruntime_gpu-1.32.0.dist-info/METADATA", "Name: onnxruntime-gpu\nVersion: 1.32.0\n")
    write_file("onnxruntime_gpu-1.32.0.dist-info/RECORD", "onnxruntime/lost.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = run("doctor")
    assert result.exit_code == 2
    advice = "pip install --force-reinstall --no-deps onnxruntime-gpu==1.32.0"
    assert advice in " ".join(result.stdout.split())
