"""Log lines: one for each record, with untrusted text escaped, in each format."""

import io
import json
import logging
import os
from pathlib import Path

import pytest
from rich.console import Console

from dockeripv6mapper.report.logs import (
    JournalLines,
    JsonLines,
    Lines,
    LogFile,
    escaped,
    is_journal,
    terminal_handler,
)

HOSTILE = "two\nlines\r, \x1b[31mred\x1b[0m, [bold]markup[/bold], a \u202eturn, \u2028a separator, \udc80"
"""Text of a label, a name or an engine's error that tries to forge output."""


def record(message: str, level: int = logging.WARNING) -> logging.LogRecord:
    """A record with the message as an argument, as our code logs."""
    return logging.LogRecord("dockeripv6mapper.test", level, __file__, 1, "saw %s", (message,), None)


def test_a_message_cannot_add_a_line_or_move_the_cursor() -> None:
    """Control, separator and direction characters are escaped; letters of any language are not."""
    line = Lines().format(record(HOSTILE))
    assert line.isprintable()
    assert "two\\nlines\\r" in line
    assert escaped("größer, 名前, ñ") == "größer, 名前, ñ"


def test_markup_in_a_message_is_text_on_a_terminal() -> None:
    """A label may contain the markup of rich."""
    handler = terminal_handler(Lines())
    handler.console = Console(file=io.StringIO(), width=400, force_terminal=True, color_system=None)
    handler.emit(record(HOSTILE))
    assert isinstance(handler.console.file, io.StringIO)
    shown = handler.console.file.getvalue()
    assert "[bold]markup[/bold]" in shown
    assert shown.count("\n") == 1
    assert "\\x1b[31mred" in shown


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 3)],
)
def test_a_line_for_the_journal_begins_with_its_priority(level: int, priority: int) -> None:
    """The journal removes the prefix. A message cannot add a second one."""
    assert JournalLines().format(record("a\n<0>b", level)) == f"<{priority}>saw a\\n<0>b"


def test_each_line_of_a_traceback_has_the_priority() -> None:
    """The journal makes a record of each line; without the prefix, it would have the default priority."""
    broken = record("it", logging.ERROR)
    try:
        json.loads("no")
    except ValueError as error:
        broken.exc_info = (ValueError, error, error.__traceback__)
    lines = JournalLines().format(broken).splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)


def test_json_gives_each_record_as_one_object_on_one_line() -> None:
    """The message in it is unchanged."""
    line = JsonLines().format(record(HOSTILE))
    assert line.isprintable()
    fields = json.loads(line)
    assert fields.pop("time").endswith("+00:00")
    assert fields == {"level": "warning", "logger": "dockeripv6mapper.test", "message": f"saw {HOSTILE}"}


def test_the_journal_is_recognised_by_device_and_inode(tmp_path: Path) -> None:
    """The variable alone proves nothing: a child process inherits it, and may write elsewhere."""
    with (tmp_path / "stream").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(stream, environment)
        assert not is_journal(other, environment)
        assert not is_journal(stream, {})
    assert not is_journal(stream, environment)


def test_a_message_in_a_traceback_cannot_forge_a_record() -> None:
    """An exception may quote a label. Its lines are escaped and indented; a record's line is not indented."""
    broken = record("it", logging.ERROR)

    def fail() -> None:
        raise KeyError("one\n") from ValueError("a\n2026-01-02 03:04:05,678 INFO    forged\x1b[2J")

    try:
        fail()
    except KeyError as error:
        broken.exc_info = (KeyError, error, error.__traceback__)
    _, *lines = Lines("%(message)s").format(broken).split("\n")
    assert all(line.startswith("  ") and line.isprintable() for line in lines)


def test_a_log_file_that_cannot_be_opened_again_loses_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a rotation its directory may be gone: records go to stderr until the file can be opened."""
    directory = tmp_path / "log"
    directory.mkdir()
    handler = LogFile(directory / "mapper.log", encoding="utf-8")
    handler.setFormatter(Lines())
    handler.handle(record("first"))
    (directory / "mapper.log").unlink()
    directory.rmdir()
    for name in ("second", "next"):
        handler.handle(record(name))
        assert f"saw {name}" in capsys.readouterr().err
    directory.mkdir()
    handler.handle(record("third"))
    assert (directory / "mapper.log").read_text() == "saw third\n"
    handler.close()
