"""The ranges in pyproject.toml: the base install has no upper bounds, and all tested versions are in range."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

HOUSE = Path(__file__).parents[1]
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE = [Requirement(need) for need in PROJECT["dependencies"]]
ALL = [*BASE, *(Requirement(need) for needs in PROJECT["optional-dependencies"].values() for need in needs)]
PINS = dict(
    line.lower().replace("_", "-").split("==")
    for line in (HOUSE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)


@pytest.mark.parametrize("need", BASE, ids=str)
def test_the_base_install_has_floors_and_no_ceilings(need):
    assert [part.operator for part in need.specifier] == [">="]


@pytest.mark.parametrize("need", [need for need in ALL if need.name in PINS], ids=str)
def test_the_versions_that_were_tested_are_in_the_ranges(need):
    assert need.specifier.contains(PINS[need.name])
