"""What is sent nowhere: the switches, and the package that has none."""

import subprocess
import sys

import pytest

SENDS = "raise SystemExit('imported')\n"


@pytest.mark.parametrize("first", ["import lossaudit", "import lossaudit; lossaudit.Losses"])
def test_openvinos_telemetry_cannot_be_imported(first, tmp_path):
    (tmp_path / "openvino_telemetry.py").write_text(SENDS)
    tried = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
{first}
try:
    import openvino_telemetry
except ImportError:
    print("held back")
"""
    done = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "held back\n", "")
