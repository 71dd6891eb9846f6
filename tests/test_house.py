"""The house's rules: who may import whom, and how long a file may be."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
ROOMS = ("engine", "export", "review", "cli", "lossaudit", "bench", "tests")
FILES = sorted(file for room in ROOMS for file in (HOUSE / room).rglob("*.py"))
MAY_IMPORT = {
    "engine": set(),
    "export": {"engine"},
    "review": {"engine", "export"},
    "cli": {"engine", "export", "review"},
}
ONLY_IN = {
    ("torch", "transformers", "optimum"): {"export", "bench", "tests"},
    ("onnx",): {"engine", "export", "bench", "tests"},
    ("click", "rich"): {"cli", "bench", "tests"},
}


def imported_modules(file):
    """The full names of all modules that a file imports, also inside functions and for types only."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(file):
    return file.relative_to(HOUSE).parts[0]


def name_of(file):
    return str(file.relative_to(HOUSE))


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) in MAY_IMPORT], ids=name_of)
def test_imports_point_one_way(file):
    rooms = {module.split(".")[1] for module in imported_modules(file) if module.startswith("lossaudit.")}
    rooms -= {"version", "__version__", room_of(file)}
    assert rooms <= MAY_IMPORT[room_of(file)]


@pytest.mark.parametrize(("packages", "rooms"), ONLY_IN.items(), ids=str)
def test_heavy_packages_stay_in_their_rooms(packages, rooms):
    elsewhere = [file for file in FILES if room_of(file) not in rooms]
    found = {name_of(file) for file in elsewhere for m in imported_modules(file) if m.split(".")[0] in packages}
    assert not found


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_file_is_over_400_lines(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_test_sees_the_rooms():
    assert {room_of(file) for file in FILES} >= {"engine", "export", "cli", "lossaudit", "tests"}
