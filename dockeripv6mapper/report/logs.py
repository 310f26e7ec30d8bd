"""Logs: each record as one line, for people, for the journal, or for programs.

What a record says may come from a label, a name or an engine's error, which are anybody's: nothing in it can
begin a new line, move a terminal's cursor, or be taken for markup.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
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
"""As `sys.exc_info` returns it."""

SYSLOG_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""As in syslog(3). The journal takes `<4>` at the begin of a line for its priority (sd-daemon(3))."""


class LogFormat(Enum):
    """How a record of the log is written."""

    AUTO = "auto"
    """In colours on a terminal, with priorities to the journal, else plain."""
    PLAIN = "plain"
    JSON = "json"


def set_up(level: int, chosen: LogFormat, file: Path | None) -> None:
    """Have this program's records written to stderr, or appended to `file`, also after it was rotated.

    Libraries are heard from WARNING on. Raises `MapperError` where the file cannot be opened.
    """
    logging.basicConfig(level=logging.WARNING, handlers=[_handler(chosen, file)], force=True)
    logging.getLogger("dockeripv6mapper").setLevel(level)


class LogFile(WatchedFileHandler):
    """A file that is opened again after a rotation; while that fails, stderr has the records."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Raises nothing: where a log cannot be written, the work goes on."""
        try:
            super().emit(record)
        except OSError:
            with suppress(OSError):
                sys.stderr.write(f"{self.format(record)}\n")


class Lines(logging.Formatter):
    """The message as one line; a traceback has lines of its own, indented, as no record is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the record's own line, with nothing unprintable in its message."""
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: SysExcInfo) -> str:  # noqa: N802 - the library's name
        """Return the traceback; the error's message in it may hold a label, as any other message."""
        return "\n".join(f"  {escaped(line)}" for line in super().formatException(ei).split("\n"))


class JournalLines(Lines):
    """Lines with their priority in front, and no time, which the journal has itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record; each line of a traceback has the priority too."""
        priority = SYSLOG_PRIORITIES.get(record.levelno, SYSLOG_PRIORITIES[logging.ERROR])
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class JsonLines(logging.Formatter):
    """One JSON object for each record: `{"time", "level", "logger", "message"}`, and `traceback` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record; JSON escapes whatever would end the line."""
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
    """What the program ends with on stderr: the error, and what to try where that is known."""
    lines = [f"error: {escaped(str(error))}", *([f"  try: {escaped(error.hint)}"] if error.hint else ())]
    priority = f"<{SYSLOG_PRIORITIES[logging.ERROR]}>" if is_journal(sys.stderr, os.environ) else ""
    return "\n".join(f"{priority}{line}" for line in lines)


def escaped(text: str) -> str:
    """Return `text` as one line of printable characters: no controls, no separators, nothing that hides."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether what is written to `stream` goes to the journal (`$JOURNAL_STREAM` in systemd.exec(5))."""
    try:
        seen = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it is closed, or no file at all
        return False
    return environment.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"


def on_terminal(formatter: logging.Formatter) -> "RichHandler":
    """The handler of a terminal, in colours. A message is written as it is: none of it is markup."""
    # Most logs are read by programs, and need not wait for it.
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


def _handler(chosen: LogFormat, file: Path | None) -> logging.Handler:
    journal = file is None and is_journal(sys.stderr, os.environ)
    if file is None and chosen is LogFormat.AUTO and not journal and sys.stderr.isatty():
        return on_terminal(Lines())
    try:
        handler = logging.StreamHandler() if file is None else LogFile(file, encoding="utf-8")
    except OSError as error:
        raise MapperError(
            f"opening the log file {file}: {error.strerror}", hint="--logfile FILE names another"
        ) from error
    if chosen is LogFormat.JSON:
        handler.setFormatter(JsonLines())
    elif journal:
        handler.setFormatter(JournalLines())
    else:
        handler.setFormatter(Lines("%(asctime)s %(levelname)-7s %(message)s"))
    return handler
