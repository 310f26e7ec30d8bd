"""The lock on a state directory, of which a cleanup takes the file away."""

from pathlib import Path

import pytest

from dockeripv6mapper.daemon import lock
from dockeripv6mapper.errors import MapperError


def test_no_daemon_starts_while_a_cleanup_is_at_work(tmp_path: Path) -> None:
    """Its files would be taken from under it; one that comes when they are gone has its own."""
    lock.take(tmp_path).close()
    with lock.kept_from_starting(tmp_path):
        with pytest.raises(MapperError, match="another mapper runs with it"):
            lock.take(tmp_path)
        (tmp_path / lock.NAME).unlink()
        with lock.take(tmp_path):
            assert lock.runs(tmp_path)


def test_a_cleanup_leaves_a_daemon_that_runs_alone(tmp_path: Path) -> None:
    """However long ago it was started."""
    refused = pytest.raises(MapperError, match="a daemon runs")
    with lock.take(tmp_path), refused, lock.kept_from_starting(tmp_path):
        pytest.fail("it went on")
    with lock.kept_from_starting(tmp_path):
        assert not (tmp_path / lock.NAME).read_text()
