"""Text without the credentials that stand in addresses and headers, for pages and messages that others may see.

    https://jane:pass@host/file?token=abc&page=2    https://***@host/file?token=***&page=2
    Authorization: Bearer abc                       Authorization: Bearer ***

What is personal in a document's text is another matter: pipelines/pii.py.
"""

from __future__ import annotations

import re
from typing import Any

BLANK = "***"
# Userinfo (RFC 3986, 3.2.1) up to the last @ before the path; behind a user, and unless a port stands there, up to the
# last @ at all: secret keys hold @ and / that nobody has escaped.
USERINFO = re.compile(r"(?<=//)(?:[^/?#\s:@'\"]+:(?!\d+/)[^?#\s]*|[^/?#\s'\"]+)@")
PARAMETER = re.compile(
    r"([?&;](?:[\w.-]*(?:token|secret|passwo?r?d|passphrase|signature|credential|api[_-]?key|access[_-]?key)[\w.-]*"
    r"|auth|authorization|key|sig|pass|pwd)=)[^&;#\s'\"<>]+",
    re.IGNORECASE,
)
HEADER = re.compile(r"\b(Bearer|Authorization: ?Basic)\s+[\w.~+/=-]{8,}")


def without_credentials(text: str) -> str:
    """The text with `***` in place of users and passwords of URLs, keys and tokens of their queries, and of headers."""
    text = USERINFO.sub(f"{BLANK}@", text)
    return HEADER.sub(rf"\1 {BLANK}", PARAMETER.sub(rf"\g<1>{BLANK}", text))


def values_without_credentials(value: Any) -> Any:
    """The same for each text in lists and mappings; keys stay."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, dict):
        return {key: values_without_credentials(one) for key, one in value.items()}
    return [values_without_credentials(one) for one in value] if isinstance(value, list) else value
