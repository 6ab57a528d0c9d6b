"""The code blocks and tables of the README and of the site."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from live import ROOT

#: The address in the examples.
URL = "http://127.0.0.1:8000"

DOCS = ROOT / "docs"
README = ROOT / "README.rst"

#: The hand-written pages, in a fixed order.
PAGES = [README, *sorted(DOCS.rglob("*.rst"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]

_BLOCK = re.compile(
    r"^(?P<indent> *)\.\. code-block:: (?P<language>\S+)\n"
    r"(?P<options>(?:(?P=indent)   :\w+:.*\n)*)\n"
    r"(?P<text>(?:(?P=indent)   .*\n|\s*\n)+)",
    re.MULTILINE,
)
_OPTION = re.compile(r":(\w+): *(.*)")


@dataclass(frozen=True)
class Block:
    """A code block: *name* is the file it shows, if any."""

    page: Path
    line: int
    language: str
    name: str
    style: str
    text: str

    def dialogue(self) -> list[tuple[str, str]]:
        """Return the commands of a console block, each with its output."""
        parts = f"\n{self.text}".split("\n$ ")[1:]
        pairs = (part.partition("\n") for part in parts)
        return [(command, output.strip()) for command, _, output in pairs]


def page_name(page: Path) -> str:
    """Return the name of *page* in test identifiers."""
    return page.relative_to(ROOT).as_posix()


def read_blocks(page: Path) -> Iterator[Block]:
    """Yield the code blocks of *page*."""
    content = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(content):
        options = dict(_OPTION.findall(found["options"]))
        indent = len(found["indent"]) + 3
        yield Block(
            page=page,
            line=content.count("\n", 0, found.start()) + 1,
            language=found["language"],
            name=options.get("name", options.get("caption", "")),
            style=options.get("class", ""),
            text=re.sub(rf"^ {{{indent}}}", "", found["text"], flags=re.M).strip()
            + "\n",
        )


BLOCKS = [block for page in PAGES for block in read_blocks(page)]


def blocks_of(page: Path, language: str = "") -> list[Block]:
    """Return the blocks of *page*, in *language* if one is given."""
    return [b for b in BLOCKS if b.page == page and language in ("", b.language)]


def write_file(block: Block, folder: Path, url: str = URL) -> None:
    """Write the file that *block* shows, with the address of a server at *url*.

    An absolute path begins at *folder*.
    """
    target = folder / block.name.lstrip("/")
    target.parent.mkdir(exist_ok=True, parents=True)
    target.write_text(block.text.replace(URL, url))


def table(page: str, name: str) -> list[list[str]]:
    """Return the cells of the list table *name* of a page, without its head."""
    content = (DOCS / page).read_text(encoding="utf-8")
    options, found, rest = content.partition(f"   :name: {name}\n")
    assert found, f"{page} has no table {name}"
    assert options.rpartition("\n.. ")[2].startswith("list-table::")
    body = re.match(r"\n((?:   .*\n|\n)+)", rest)
    assert body
    rows = re.split(r"^   \* ", body[1], flags=re.M)[2:]
    return [
        [_joined(cell) for cell in re.split(r"^ *- ?", row, flags=re.M)[1:]]
        for row in rows
    ]


def codes(page: str, name: str) -> list[str]:
    """Return the literal that begins each row of a table."""
    return [re.match("``(.+?)``", row[0])[1] for row in table(page, name)]


def _joined(cell: str) -> str:
    return " ".join(cell.split())
