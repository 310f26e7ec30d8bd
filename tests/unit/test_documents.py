"""The documents: every link leads somewhere, and README in English and in French say the same.

In both, commands to type are indented by four spaces, and what is shown (files, output, drawings) is fenced.
"""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
README = "README.md"
FRENCH = "README.fr.md"
PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for path in (*CHECKOUT.glob("*.md"), *CHECKOUT.joinpath("docs").glob("*.md"))
)
MAX_LINES = 250
"""Of README, so that it is read in five minutes."""
INDENT = "    "
FENCE = "```"

FENCED = re.compile(rf"^{FENCE}(.*?)\n(.*?)^{FENCE}$", re.MULTILINE | re.DOTALL)
CODE = re.compile(rf"^{INDENT}.*$|`[^`]+`", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NO_BREAK = "\u00a0\u202f"
"""The spaces at which no line is broken."""


def text_of(page: str) -> str:
    """The text of a page of the checkout."""
    return (CHECKOUT / page).read_text()


def without_fences(page: str) -> str:
    """The text of a page without what it shows."""
    return FENCED.sub("", text_of(page))


def anchors(page: str) -> set[str]:
    """The anchors that GitHub makes of the headings of a page: lower case, hyphens, no punctuation.

    A heading whose anchor exists already gets `-1`, `-2`.
    """
    found: list[str] = []
    for heading in HEADING.findall(without_fences(page)):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = found.count(anchor)
        found.append(f"{anchor}-{count}" if count else anchor)
    return set(found)


def commands(page: str) -> list[str]:
    """The indented lines of a page, without comments."""
    lines = [line for line in without_fences(page).splitlines() if line.startswith(INDENT)]
    without_comments = [line.partition(" # ")[0].strip() for line in lines]
    return [line for line in without_comments if line]


def fences(page: str) -> list[tuple[str, int]]:
    """The kind and the number of lines of what a page shows."""
    return [(kind, shown.count("\n")) for kind, shown in FENCED.findall(text_of(page))]


def tables(page: str) -> list[list[int]]:
    """For each table of a page, the number of cells in each row."""
    found: list[list[int]] = []
    inside = False
    for line in without_fences(page).splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append(len(re.split(r"(?<!\\)\|", line)) - 2)
        inside = line.startswith("|")
    return found


def outline(page: str) -> list[int]:
    """The level of each heading of a page."""
    return [len(marks) for marks in re.findall(r"^(#+) ", without_fences(page), re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    """Links in code are not followed, and those to other sites are not checked."""
    broken = []
    for link in LINK.findall(CODE.sub("", without_fences(page))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / name if name else CHECKOUT / page
        if not target.exists() or (anchor and anchor not in anchors(str(target))):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", [README, FRENCH])
def test_readme_is_read_in_five_minutes(page: str) -> None:
    """So the rest is in `docs/`."""
    assert len(text_of(page).splitlines()) <= MAX_LINES


def test_readme_leads_to_every_page() -> None:
    """A page that README does not name is not found."""
    links = set(LINK.findall(text_of(README)))
    assert {page for page in PAGES if page.startswith("docs/")} <= links


def test_both_languages_have_the_same_commands() -> None:
    """In the same order; comments are in the language of the page."""
    assert commands(README) == commands(FRENCH)


def test_both_languages_show_the_same_files_and_outputs() -> None:
    """Of the same kind and length; a drawing has words in the language of the page."""
    assert fences(README) == fences(FRENCH)


def test_both_languages_have_the_same_sections_and_tables() -> None:
    """Tables of the same rows and columns, and the same links to pages of `docs/`, in the same order."""
    assert outline(README) == outline(FRENCH)
    assert tables(README) == tables(FRENCH)
    pages = [
        [link for link in LINK.findall(text_of(page)) if link.startswith("docs/")]
        for page in (README, FRENCH)
    ]
    assert pages[0] == pages[1]


def test_french_punctuation_has_no_break_spaces() -> None:
    """Before `: ; ? !` and inside guillemets, so that no line begins with a mark."""
    text = LINK.sub("]", CODE.sub("", without_fences(FRENCH)))
    wrong = re.findall(rf"\S*[^{NO_BREAK}][:;?!](?=[\s*])|«[^{NO_BREAK}]\S*|\S*[^{NO_BREAK}]»", text)
    assert not wrong
