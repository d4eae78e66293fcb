"""The engines of others: resiliparse's heuristics in C++, and trafilatura's, thorough and slow.

In: a page's characters. Out: title and main content, not yet normalised.
"""

from __future__ import annotations

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree


def resiliparse(html: str) -> tuple[str, str]:
    """Without alternative texts, form fields and list bullets: so it came out best on pages with gold text."""
    tree = HTMLTree.parse(html)
    text = extract_plain_text(
        tree, main_content=True, preserve_formatting=True, list_bullets=False, alt_texts=False, form_fields=False
    )
    return tree.title or "", text


def trafilatura(html: str) -> tuple[str, str]:
    """Its fast mode (no second opinions from other packages), without comments."""
    from trafilatura import extract  # here: it takes a second to import

    return HTMLTree.parse(html).title or "", extract(html, fast=True, include_comments=False) or ""
