"""Every module loads where POSIX is missing, as on Windows."""

import subprocess
import sys

from tests.test_house import PLACES

WITHOUT_POSIX = """
import importlib, os, signal, sys
names = sys.argv[1].split(",")
for name in names:
    importlib.import_module(name)  # other libraries choose their code by the system's name, so they load first
for name in [name for name in sys.modules if name.partition(".")[0] == "lossaudit"]:
    del sys.modules[name]
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for module, name in (
    *((os, name) for name in ("fork", "getuid", "sched_getaffinity")),
    *((signal, name) for name in ("SIGHUP", "pthread_kill")),
):
    if hasattr(module, name):
        delattr(module, name)
for name in names:
    importlib.import_module(name)
from lossaudit.cli import signals, streams
from lossaudit.engine.cpus import usable_cpus
signals.listen()
streams.prepare()
assert usable_cpus() >= 1
print(len(names))
"""


def test_every_module_loads_without_what_posix_alone_has():
    names = [name if name.startswith("lossaudit") else f"lossaudit.{name}" for name in PLACES]
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_POSIX, ",".join(names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(len(PLACES))
