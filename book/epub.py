"""Cuts the content out of mdBook's print page, with each figure as a file of its own: epub.py PRINT CONTENT."""

import re
import sys
from pathlib import Path

page, content = map(Path, sys.argv[1:])
text = page.read_text()
start, end = text.index("<main>") + len("<main>"), text.index("</main>")
main = text[start:end]
figures = 0


def figure(match: re.Match[str]) -> str:
    """A picture in place of an inline figure, with the figure's title as its text."""
    global figures
    figures += 1
    svg = match[0].replace("currentColor", "#222")
    title = re.search(r"<title[^>]*>(.*?)</title>", svg, re.DOTALL)
    name = f"img/figure-{figures}.svg"
    (page.parent / "img").mkdir(exist_ok=True)
    (page.parent / name).write_text(svg)
    alt = title[1].replace('"', "&quot;") if title else ""
    return f'<img src="{name}" alt="{alt}">'


main = re.sub(r"<svg\b[^>]*class=\"diagram\".*?</svg>", figure, main, flags=re.DOTALL)
# The links of headings to themselves, and answers that need a hand to unfold them.
main = re.sub(r'<a class="header"[^>]*>(.*?)</a>', r"\1", main, flags=re.DOTALL)
main = re.sub(r"</?details[^>]*>", "", main)
main = re.sub(r"<summary>(.*?)</summary>", r"<p><strong>\1</strong></p>", main, flags=re.DOTALL)
content.write_text(f"<!doctype html><html><head><title>Crucible</title></head><body>{main}</body></html>")
print(f"{figures} figures", file=sys.stderr)
