"""The benchmark cannot rot: each of its rows is played once, without targets."""

import math

import pytest

from tests.benchmark.report import table
from tests.benchmark.rows import ROWS, Row
from tests.benchmark.stage import Stage
from tests.lab.engines import Flavour
from tests.lab.topology import Lab


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_each_row_can_be_measured(lab: Lab, row: Row) -> None:
    """Twice, on one engine; what comes of it is a number for everything that it names."""
    outcomes = list(row.measure(Stage(lab, (lab.host(Flavour.MODERN),), brief=True), 2))
    assert outcomes
    assert all(each.values and all(map(math.isfinite, each.values)) for each in outcomes)
    assert table(outcomes).row_count == len(outcomes)
