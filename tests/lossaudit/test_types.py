"""Users' code type-checks: the Python of the documents, and a program that uses every public name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import lossaudit as la
from tests.conftest import REPOSITORY

PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
DOCUMENTS = ("README.md", "docs/tutorial.md", "docs/api.md")
TYPED_USE = Path(__file__).with_name("typed_use.py")
WRONG = """
import lossaudit as la

la.export(5, "bundle")
la.audit("bundle", "reviews.csv", limits=5)
la.no_such_name
"""


def mypy(files):
    """Runs it as `make lint` does, with its cache; gives the lines of its errors."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", *map(str, files)]
    environment = os.environ | {"MYPYPATH": "."}
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    return result.stdout.splitlines()


def test_what_users_write_type_checks(tmp_path):
    files = [TYPED_USE]
    for document in DOCUMENTS:
        blocks = PYTHON.findall((REPOSITORY / document).read_text(encoding="utf-8"))
        assert blocks
        files.append(tmp_path / f"{Path(document).stem.lower()}_python.py")
        files[-1].write_text("\n".join(blocks))
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    errors = mypy([*files, wrong])
    assert [line for line in errors if "wrong.py" not in line] == []
    for line in ("arg-type", "call-arg", "attr-defined"):  # or nothing was checked
        assert any("wrong.py" in error and line in error for error in errors), errors


def test_every_public_name_is_used():
    used = set(re.findall(r"\bla\.(\w+)", TYPED_USE.read_text(encoding="utf-8")))
    assert used == set(la.__all__)
    members = set(re.findall(r"\blosses\.(\w+)", TYPED_USE.read_text(encoding="utf-8")))
    assert members >= {name for name in vars(la.Losses) if not name.startswith("_")}
