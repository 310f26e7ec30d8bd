"""The documents: every link leads somewhere, and README is short."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
README = "README.md"
PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for path in (*CHECKOUT.glob("*.md"), *CHECKOUT.joinpath("docs").glob("*.md"))
)
MAX_LINES = 250
"""Of README, so that it is read in five minutes."""
INDENT = "    "
FENCE = "```"

CODE = re.compile(rf"^{FENCE}.*?^{FENCE}$|^{INDENT}.*?$|`[^`]+`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page: str) -> str:
    """The text of a page of the checkout."""
    return (CHECKOUT / page).read_text()


def anchors(page: str) -> set[str]:
    """The anchors that GitHub makes of the headings of a page: lower case, hyphens, no punctuation.

    A heading whose anchor exists already gets `-1`, `-2`.
    """
    found: list[str] = []
    without_code = re.sub(rf"^{FENCE}.*?^{FENCE}$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    for heading in HEADING.findall(without_code):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = found.count(anchor)
        found.append(f"{anchor}-{count}" if count else anchor)
    return set(found)


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    """Links in code are not followed, and those to other sites are not checked."""
    broken = []
    for link in LINK.findall(CODE.sub("", text_of(page))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / name if name else CHECKOUT / page
        if not target.exists() or (anchor and anchor not in anchors(str(target))):
            broken.append(link)
    assert not broken


def test_readme_is_read_in_five_minutes() -> None:
    """So the rest is in `docs/`."""
    assert len(text_of(README).splitlines()) <= MAX_LINES


def test_readme_leads_to_every_page() -> None:
    """A page that README does not name is not found."""
    links = set(LINK.findall(text_of(README)))
    assert {page for page in PAGES if page.startswith("docs/")} <= links
