"""The article that a page states in its metadata (articleBody in JSON-LD), for pages that show it by script.

In: a page in UTF-8. Out: the longest articleBody as text, or "".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from .blocks import read_page

SCRIPT = re.compile(r"<script[^>]{0,200}application/ld\+json[^>]{0,200}>(.*?)</script", re.DOTALL | re.IGNORECASE)


def stated_body(html: bytes) -> str:
    """Bodies that hold markup themselves are read as pages; what is not JSON is passed over."""
    if b'"articleBody"' not in html:
        return ""
    bodies = [body for script in SCRIPT.findall(html.decode(errors="replace")) for body in _bodies(script)]
    body = max(bodies, key=len, default="")
    return "\n\n".join(read_page(body).texts) if "</" in body else body


def _bodies(script: str) -> Iterator[str]:
    try:
        waiting: list[Any] = [json.loads(script, strict=False)]
    except (ValueError, RecursionError):
        return
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(body := one.get("articleBody"), str):
                yield body
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
