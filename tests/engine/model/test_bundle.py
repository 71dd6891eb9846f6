"""Bundles: checked before anything in them is used."""

import json
import os

import pytest

from lossaudit.engine.model.bundle import CLASSIFY, FORMAT, Bundle, Manifest, check_bundle_target, is_bundle

REMOVED = object()


@pytest.fixture
def change(bundle_copy):
    """Changes (or removes) a field of the bundle's manifest; "source.name" is one inside another."""

    def write(field, value):
        path = bundle_copy / "manifest.json"
        manifest = json.loads(path.read_text())
        *outer, name = field.split(".")
        inside = manifest[outer[0]] if outer else manifest
        if value is REMOVED:
            del inside[name]
        else:
            inside[name] = value
        path.write_text(json.dumps(manifest))

    return write


def test_a_bundle_opens(bundle_folder):
    bundle = Bundle.load(bundle_folder)
    assert bundle.file_of("fp32").is_file()
    assert bundle.tokenizer.is_file()
    assert is_bundle(bundle_folder)


def test_a_manifest_reads_back_as_it_was_written(bundle_folder):
    manifest = Bundle.load(bundle_folder).manifest
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_folder_without_manifest_is_no_bundle(tmp_path, refused):
    assert not is_bundle(tmp_path)
    with refused("is not a bundle", "manifest.json", "`la.export`"):
        Bundle.load(tmp_path)


def test_a_bundle_of_format_1_classifies(change, bundle_copy):
    change("task", REMOVED)
    change("format", 1)
    assert Bundle.load(bundle_copy).manifest.task == CLASSIFY


def test_a_newer_format_says_to_upgrade(change, bundle_copy, refused):
    change("format", FORMAT + 1)
    with refused(str(bundle_copy), f"format {FORMAT + 1} is newer", "upgrade"):
        Bundle.load(bundle_copy)


FIELDS = (
    *(
        "format",
        "architecture",
        "task",
        "labels",
        "max_length",
        "pad_id",
        "opset",
        "inputs",
        "versions",
        "files",
        "graphs",
        "left_out",
    ),
    *("source", "source.name", "source.revision", "parity", "parity.tolerance", "parity.texts"),
)


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(field, change, bundle_copy, refused):
    change(field, REMOVED)
    with refused("manifest.json", f"'{field.split('.')[-1]}' is missing"):
        Bundle.load(bundle_copy)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("format", "1", "'format' has the wrong type"),
        ("format", True, "'format' has the wrong type"),
        ("task", 1, "'task' has the wrong type"),
        ("task", "regression", "task 'regression' is not one of classify, features, multi-label"),
        ("labels", "World", "'labels' has the wrong type"),
        ("labels", [], "'labels' has the wrong type"),
        ("labels", [1, 2], "'labels' has the wrong type"),
        ("labels", ["World", " "], "'labels' holds a label without a name"),
        ("max_length", 12.5, "'max_length' has the wrong type"),
        ("max_length", 0, "at least 1"),
        ("inputs", ["input_ids", "pixel_values"], "pixel_values"),
        ("source", [], "'source' has the wrong type"),
        ("parity.max_difference", "small", "'max_difference' has the wrong type"),
        ("files", {}, "doesn't list model.onnx"),
        ("files", {"model.onnx": 1, "tokenizer.json": "x"}, "has no SHA-256"),
    ],
)
def test_a_wrong_field_is_named(field, value, says, change, bundle_copy, refused):
    change(field, value)
    with refused("manifest.json", says):
        Bundle.load(bundle_copy)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", ".", "..", "", "a\0b"])
def test_a_file_name_may_not_leave_the_folder(name, change, bundle_copy, refused):
    change("files", {name: "0" * 64})
    with refused("leaves the folder"):
        Bundle.load(bundle_copy)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_named(name, bundle_copy, refused):
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    with refused(name, "is damaged", "export"):
        Bundle.load(bundle_copy)


def test_a_missing_file_is_named(bundle_copy, refused):
    (bundle_copy / "model.onnx").unlink()
    with refused("model.onnx", "is missing"):
        Bundle.load(bundle_copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 1e999}'])
def test_what_is_no_manifest_is_refused(content, bundle_copy, refused):
    (bundle_copy / "manifest.json").write_bytes(content)
    with refused("manifest.json", "can't be used"):
        Bundle.load(bundle_copy)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(bundle_copy, refused):
    (bundle_copy / "model.onnx").chmod(0)
    with refused("model.onnx", "can't be read"):
        Bundle.load(bundle_copy)


def test_only_a_bundle_with_nothing_else_in_it_may_be_replaced(bundle_copy, tmp_path, refused):
    check_bundle_target(tmp_path / "new")
    check_bundle_target(bundle_copy)
    (bundle_copy / "notes.txt").write_text("mine")
    with refused("holds notes.txt, which isn't part of the bundle"):
        check_bundle_target(bundle_copy)
    extension = tmp_path / "extension"
    extension.mkdir()
    (extension / "manifest.json").write_text('{"name": "a browser extension"}')
    with refused("manifest.json isn't that of a bundle"):
        check_bundle_target(extension)
