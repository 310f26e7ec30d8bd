"""Each row of the benchmark runs once, without a target, so that a broken row is noticed."""

import math

import pytest

from tests.benchmark.environment import Environment
from tests.benchmark.report import table
from tests.benchmark.rows import ROWS, Row
from tests.lab.engines import Flavour
from tests.lab.topology import Lab


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_benchmark_row_yields_finite_numbers(lab: Lab, row: Row) -> None:
    """Two measurements on one engine; each outcome has finite values and a row in the table."""
    measurements = list(row.measure(Environment(lab, (lab.host(Flavour.MODERN),), smoke_test=True), 2))
    assert measurements
    assert all(each.values and all(map(math.isfinite, each.values)) for each in measurements)
    assert table(measurements).row_count == len(measurements)
