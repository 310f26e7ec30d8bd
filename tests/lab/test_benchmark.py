"""Each row of the benchmark runs once, without a target, so that a broken row is noticed."""

import math

import pytest

from tests.benchmark.environment import Stage
from tests.benchmark.report import table
from tests.benchmark.rows import ROWS, Row
from tests.lab.engines import Flavour
from tests.lab.topology import Lab


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_benchmark_row_yields_finite_numbers(lab: Lab, row: Row) -> None:
    """Two measurements on one engine; each outcome has finite values and a row in the table."""
    outcomes = list(row.measure(Stage(lab, (lab.host(Flavour.MODERN),), brief=True), 2))
    assert outcomes
    assert all(each.values and all(map(math.isfinite, each.values)) for each in outcomes)
    assert table(outcomes).row_count == len(outcomes)
