"""Run the daemon with a profile function that records which functions of the package are called.

python -m tests.benchmark.profiler FILE FUNCTION PYTHON -m MODULE OPTION…

Stands in front of the daemon's own command. FILE gets one JSON array for each call, when the daemon ends; the
calls of FUNCTION with their arguments.
"""

import json
import runpy
import socket
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

SEND = ("send", "sendall", "sendmsg", "sendto")
"""Methods of a socket that write to it. """
SOCKET = "socket"
"""The module that such a write is recorded for."""


class Call(NamedTuple):
    """One call of a function of the package, or one write to a socket."""

    nanoseconds: int
    """When, by the monotonic clock."""
    thread: str
    module: str
    """Without the package's name: `engine.events`."""
    function: str
    arguments: str
    """As `repr` shows them, for the functions that `Recorder` records them of; else empty."""


class Recorder:
    """A profile function (`sys.setprofile`) for all threads of this process."""

    def __init__(self, package: str, *, with_arguments: str) -> None:
        """`with_arguments`: the name of the function whose arguments are recorded too."""
        self.calls: list[Call] = []
        self._prefix = f"{package}."
        spec = find_spec(package)
        assert spec is not None, f"no package {package}"
        self._directory = str(Path(str(spec.origin)).parent)
        self._with_arguments = with_arguments

    def install(self) -> None:
        """Record the calls of this thread, and of all threads that are started from now on."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401 - as Python passes it
        if event == "call":
            code = frame.f_code
            # The methods that `dataclass` generates are in no file: a reader opens none for them.
            if code.co_filename.startswith(self._directory):
                shown = repr(frame.f_locals) if code.co_name == self._with_arguments else ""
                module = str(frame.f_globals["__name__"]).removeprefix(self._prefix)
                self._record(module, code.co_name, shown)
        elif event == "c_call" and argument.__name__ in SEND and isinstance(argument.__self__, socket.socket):
            self._record(SOCKET, argument.__name__, "")

    def _record(self, module: str, function: str, arguments: str) -> None:
        thread = threading.current_thread().name
        self.calls.append(Call(time.monotonic_ns(), thread, module, function, arguments))


def read(file: Path) -> list[Call]:
    """The calls that a daemon's run has left, in their order."""
    return [Call(*json.loads(line)) for line in file.read_text().splitlines()]


def main(file: str, function: str, _python: str, _dash_m: str, module: str, *options: str) -> None:
    """Run `module` as its command would, and write down the calls of its package."""
    recorder = Recorder(module, with_arguments=function)
    sys.argv = [module, *options]
    recorder.install()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.setprofile(None)
        Path(file).write_text("".join(f"{json.dumps(call)}\n" for call in list(recorder.calls)))


if __name__ == "__main__":
    main(*sys.argv[1:])
