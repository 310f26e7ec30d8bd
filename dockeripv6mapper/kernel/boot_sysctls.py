"""Boot sysctls: the values that files of sysctl.d(5) give to IPv6 sysctls at each boot."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

DIRECTORIES = tuple(
    map(Path, ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"))
)
"""A file in an earlier one replaces one of the same name in a later one."""

_LINE = re.compile(r"-?net(?P<separator>[./])ipv6[./](?P<key>[^=\s]+)\s*=\s*(?P<value>.*?)\s*")


def read_boot_sysctls(directories: Iterable[Path] = DIRECTORIES) -> Mapping[str, str]:
    """The values by key below `net/ipv6`; a file that cannot be read gives none.

    systemd reads /etc/sysctl.conf only where a link in these directories leads there, as on Debian 12.
    A name whose first separator is a dot has a slash for a dot in a link's name. Patterns are not expanded.
    """
    files: dict[str, Path] = {}
    for directory in directories:
        for path in directory.glob("*.conf"):
            files.setdefault(path.name, path)
    values: dict[str, str] = {}
    for path in (files[name] for name in sorted(files)):
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if match := _LINE.fullmatch(line.strip()):
                key = match["key"]
                if match["separator"] == ".":
                    key = key.translate(str.maketrans("./", "/."))
                values[key] = match["value"]
    return values
