"""Each package's docstring lists its modules, so that a new maintainer finds them."""

import ast
from pathlib import Path

import pytest

import dockeripv6mapper

ROOT = Path(dockeripv6mapper.__file__).parent
PACKAGES = sorted(path.parent for path in ROOT.rglob("__init__.py") if path.parent != ROOT)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_packages_docstring_lists_its_modules_and_no_others(package: Path) -> None:
    """One line for each: its name, spaces, what it does."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    listed = {line.split("  ")[0].rstrip("/") for line in docstring.splitlines() if "  " in line.strip()}
    modules = {path.stem for path in package.iterdir() if _is_module(path)}
    assert {each for each in listed if each} == modules


def _is_module(path: Path) -> bool:
    if path.is_dir():
        return (path / "__init__.py").exists()
    return path.suffix == ".py" and path.stem not in ("__init__", "__main__")
