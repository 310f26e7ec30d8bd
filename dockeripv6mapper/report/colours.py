"""Log records on a terminal, in colours: apart from `logs`, since most logs are read by programs."""

import logging

from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text


class Colours(RichHandler):
    """A terminal's handler."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(console=Console(stderr=True), show_path=False, omit_repeated_times=False)
        self.setFormatter(formatter)

    def render_message(self, record: logging.LogRecord, message: str) -> Text:  # noqa: ARG002 - rich's own
        """Return the message as it is: none of it is markup, or to be highlighted."""
        return Text(message)
