"""The house rules: allowed imports, no circular imports, the length of files, and messages that name options in
the words of the caller."""

import ast
import inspect
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lossaudit as la
from lossaudit.cli.main import main

HOUSE = Path(__file__).parents[1]
ROOMS = ("engine", "export", "review", "cli", "lossaudit")
ONLY_IN = {
    ("torch", "transformers", "optimum"): {"export", "bench", "tests"},
    ("onnx",): {"engine", "export", "bench", "tests"},
    ("click", "rich"): {"cli", "bench", "tests"},
}


def files_of(room):
    """Its modules; lossaudit/ shows the other rooms by links, whose files count where they are."""
    files = (HOUSE / room).glob("*.py") if room == "lossaudit" else (HOUSE / room).rglob("*.py")
    return sorted(files)


FILES = [file for room in (*ROOMS, "bench", "tests") for file in files_of(room)]
PLACES = {}
for _file in (file for room in ROOMS for file in files_of(room)):
    _parts = _file.relative_to(HOUSE).with_suffix("").parts
    PLACES[".".join(_parts).removesuffix(".__init__")] = _file


def room_of(file):
    return file.relative_to(HOUSE).parts[0]


def imported(file):
    """All modules that a file imports, also inside functions and for types only: (level, module, names)."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", [alias.name for alias in node.names]


def modules_of_ours(file):
    """The modules of ours that a file imports, such as engine.data.rows, whether they are there or not."""
    package = list(file.relative_to(HOUSE).parent.parts)
    for level, module, names in imported(file):
        if level:
            base = [*package[: len(package) - level + 1], *filter(None, module.split("."))]
        elif module.split(".")[0] == "lossaudit":
            base = module.split(".")[1:] or ["lossaudit"]
        else:
            continue
        name = ".".join(base)
        inside = [f"{name}.{one}" for one in names if f"{name}.{one}" in PLACES]
        yield from inside or [f"lossaudit.{name}" if f"lossaudit.{name}" in PLACES else name]


def may_import():
    """The table of docs/design.md: room → the rooms that it may import."""
    rows = re.findall(r"^\| `(\S+)/` \|.*\| (.*) \|$", (HOUSE / "docs" / "design.md").read_text("utf-8"), re.MULTILINE)
    named = {room: set(re.findall(r"`([\w/]+)`", rooms)) for room, rooms in rows}
    but = {room for room, rooms in rows if rooms.startswith("all")}
    return {room: (named.keys() - named[room] if room in but else named[room]) for room in named}


def in_table(module, table):
    """The row of the table that speaks of a module: that of its innermost room."""
    parts = module.split(".")
    paths = ["/".join(parts[:depth]) for depth in range(len(parts), 0, -1)]
    return next(path for path in paths if path in table)


def test_imports_point_one_way():
    table = may_import()
    assert set(ROOMS) - {"lossaudit"} < set(table)
    wrong = []
    for module, file in PLACES.items():
        here = in_table(module, table)
        for other in modules_of_ours(file):
            there = in_table(other, table)
            sub_rooms_too = there.split("/")[0] in table[here] and not here.startswith("engine/")
            known = there == here or there in table[here] or sub_rooms_too
            if not known and other != "lossaudit.version":
                wrong.append(f"{module} imports {other}")
    assert not wrong


def circles(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: set(modules_of_ours(file)) - {module} for module, file in PLACES.items()}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circles(graph)


def test_an_import_says_whether_it_leaves_its_room():
    """Relative inside a room, absolute across rooms; and what it names is a file of the plain checkout."""
    wrong = []
    for file in (file for room in (*ROOMS, "bench") for file in files_of(room)):
        for level, module, _ in imported(file):
            inside = module.split(".")[0] == "bench" or module.split(".")[:2] == ["lossaudit", room_of(file)]
            if inside or (level and level > len(file.relative_to(HOUSE).parts) - 1):
                wrong.append(f"{file.relative_to(HOUSE)}: {'.' * level}{module}")
        for name in modules_of_ours(file):
            path = HOUSE / "lossaudit" / name.removeprefix("lossaudit.").replace(".", "/")
            if room_of(file) != "bench" and not (path.with_suffix(".py").is_file() or path.is_dir() or name in PLACES):
                wrong.append(f"{file.relative_to(HOUSE)}: {name} is not there")
    assert not wrong


@pytest.mark.parametrize(("packages", "rooms"), ONLY_IN.items(), ids=str)
def test_heavy_packages_stay_in_their_rooms(packages, rooms):
    elsewhere = [file for file in FILES if room_of(file) not in rooms]
    found = {
        str(file) for file in elsewhere for level, m, _ in imported(file) if not level and m.split(".")[0] in packages
    }
    assert not found


def test_no_file_is_over_400_lines():
    assert not [file for file in FILES if len(file.read_text(encoding="utf-8").splitlines()) > 400]


BELOW_THE_COMMAND = [file for room in ("engine", "export", "review") for file in files_of(room)]
OF_OTHERS = re.compile(r"\b(pip|iconv) [^\"'`&]*")


def test_no_flag_is_named_below_the_command():
    """Nor in docstrings: an `Option` of engine/errors.py is a flag for the command and an argument for the library."""
    lines = [(file, line) for file in BELOW_THE_COMMAND for line in file.read_text(encoding="utf-8").splitlines()]
    assert not [(file, line) for file, line in lines if re.search(r"--[a-z]", OF_OTHERS.sub("", line))]


def test_no_message_names_a_command_that_is_a_function_too():
    named, found = re.compile(r"\blossaudit (audit|export|fit)\b"), []
    for file in BELOW_THE_COMMAND:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docstrings]
        found += [(file, string) for string in strings if isinstance(string, str) and named.search(string)]
    assert not found


def options_named(file):
    """The options that a file's messages name: (name, whether only the command's user reads it)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    in_either = {argument for call in calls if call.func.id == "Either" for argument in ast.walk(call)}
    for call in calls:
        if call.func.id == "Option" and isinstance(call.args[0], ast.Constant):
            yield call.args[0].value, call in in_either


def test_the_options_that_messages_name_are_there():
    """As flags of a command; those of the engine and of export as arguments of the library too."""
    flags = {flag for command in main.commands.values() for option in command.params for flag in option.opts}
    functions = (la.audit, la.export, la.fit, la.score, la.Losses.top)
    arguments = {name for function in functions for name in inspect.signature(function).parameters}
    seen = set()
    for file in BELOW_THE_COMMAND:
        for name, commands_alone in options_named(file):
            seen.add(name)
            assert f"--{name.replace('_', '-')}" in flags, f"{file} names {name}"
            assert name in arguments or commands_alone or room_of(file) == "review", f"{file} names {name}"
    assert {"label_map", "restart", "stride", "url"} < seen


def test_every_room_is_installed():
    packages = {
        ".".join(file.parent.relative_to(HOUSE).parts) for file in PLACES.values() if room_of(file) != "lossaudit"
    }
    declared = (HOUSE / "pyproject.toml").read_text(encoding="utf-8").split("packages = [")[1].split("]")[0]
    assert {f"lossaudit.{name}" for name in packages} | {"lossaudit"} == set(re.findall(r'"([\w.]+)"', declared))
