"""Log records as lines: for a terminal, a file, the journal, or as JSON.

A message may quote untrusted text: labels, names, errors of the engine. So it is escaped: it cannot add a
line, move the terminal's cursor or pass as markup.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, TypeAlias

from dockeripv6mapper.errors import MapperError

if TYPE_CHECKING:
    from rich.logging import RichHandler

SysExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)
"""The return type of `sys.exc_info`."""

SYSLOG_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""Priorities of syslog(3). A line that begins with `<4>` has that priority in the journal (sd-daemon(3))."""


class LogFormat(StrEnum):
    """The format of a log record."""

    AUTO = "auto"
    """Colours on a terminal, priorities in the journal, else plain lines."""
    PLAIN = "plain"
    JSON = "json"


def set_up(level: int, log_format: LogFormat, file: Path | None) -> None:
    """Write records to stderr, or append them to `file`, which may be rotated.

    `level` is for this program; libraries log from WARNING on. Raises `MapperError` if `file` cannot be
    opened.
    """
    logging.basicConfig(level=logging.WARNING, handlers=[_handler(log_format, file)], force=True)
    logging.getLogger("dockeripv6mapper").setLevel(level)


class LogFile(WatchedFileHandler):
    """A log file that is opened again after a rotation. While that fails, records go to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Raises nothing: the daemon works without a log, too."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Write a record to stderr that could not be written to the file.

        Since Python 3.14 the library's `emit` catches errors, and calls this. Other errors are the library's.
        """
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
            return
        with suppress(OSError):
            sys.stderr.write(f"{self.format(record)}\n")


class Lines(logging.Formatter):
    """The message as one line, with unprintable characters escaped. Lines of a traceback are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the record's line without its traceback."""
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: SysExcInfo) -> str:  # noqa: N802 - the library's name
        """Return the traceback, escaped as well: the error's message in it may quote a label."""
        return "\n".join(f"  {escaped(line)}" for line in super().formatException(ei).split("\n"))


class JournalLines(Lines):
    """Lines that begin with their priority. No time: the journal adds it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, with the priority on each line of a traceback, too."""
        priority = SYSLOG_PRIORITIES.get(record.levelno, SYSLOG_PRIORITIES[logging.ERROR])
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class JsonLines(logging.Formatter):
    """One JSON object for each record: `time`, `level`, `logger`, `message`, and `traceback` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record; JSON escapes line ends itself."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def error_lines(error: MapperError) -> str:
    """The lines on stderr with which the program ends: the error, and its hint if it has one."""
    lines = [f"error: {escaped(str(error))}", *([f"  try: {escaped(error.hint)}"] if error.hint else ())]
    priority = f"<{SYSLOG_PRIORITIES[logging.ERROR]}>" if is_journal(sys.stderr, os.environ) else ""
    return "\n".join(f"{priority}{line}" for line in lines)


def escaped(text: str) -> str:
    """Return `text` as one line: control, separator and invisible characters become escape sequences."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether `stream` is connected to the journal (`$JOURNAL_STREAM`, systemd.exec(5)).

    A child process inherits the variable even if its stream goes elsewhere, so the file is compared.
    """
    try:
        file = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or not a file
        return False
    return environment.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


def terminal_handler(formatter: logging.Formatter) -> "RichHandler":
    """A handler with colours. Markup and highlighting are off, since a message may quote a label."""
    # Imported here: the daemon usually has no terminal, and rich takes time to load.
    from rich.console import Console  # noqa: PLC0415
    from rich.highlighter import NullHighlighter  # noqa: PLC0415
    from rich.logging import RichHandler  # noqa: PLC0415

    handler = RichHandler(
        console=Console(stderr=True),
        show_path=False,
        omit_repeated_times=False,
        highlighter=NullHighlighter(),
        keywords=[],
    )
    handler.setFormatter(formatter)
    return handler


def _handler(log_format: LogFormat, file: Path | None) -> logging.Handler:
    journal = file is None and is_journal(sys.stderr, os.environ)
    if file is None and log_format is LogFormat.AUTO and not journal and sys.stderr.isatty():
        return terminal_handler(Lines())
    try:
        handler = logging.StreamHandler() if file is None else LogFile(file, encoding="utf-8")
    except OSError as error:
        raise MapperError(
            f"opening the log file {file}: {error.strerror}", hint="--logfile FILE names another"
        ) from error
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonLines())
    elif journal:
        handler.setFormatter(JournalLines())
    else:
        handler.setFormatter(Lines("%(asctime)s %(levelname)-7s %(message)s"))
    return handler
