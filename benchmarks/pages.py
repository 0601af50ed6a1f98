"""Tables of measured figures in pages of docs/, between markers that scripts find again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lplr_index.atomic import atomic_write

DOCS = Path(__file__).parents[1] / "docs"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fill(page: str, parts: dict[str, str], name: str) -> str:
    """The page called ``name`` with every part between its markers, ``<!-- part -->`` and ``<!-- /part -->``."""
    for part, text in parts.items():
        pattern = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
        body = f"{text}\n" if text else ""
        page, count = pattern.subn(lambda match, body=body: match[1] + body + match[2], page)
        if count != 1:
            raise SystemExit(f"expected one place for {part} in {name}, got {count}")
    return page


def write(path: Path, parts: dict[str, str]) -> None:
    """Fill the page at ``path``."""
    filled = fill(path.read_text("utf-8"), parts, path.name)
    with atomic_write(path) as stream:
        stream.write(filled.encode())
