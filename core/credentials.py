"""Text without the credentials that stand in addresses and headers, for pages and messages that others may see.

    https://jane:pass@host/file?token=abc&page=2    https://***@host/file?token=***&page=2
    Authorization: Bearer abc                       Authorization: Bearer ***
    no bucket for wJalrXUtnFEMI                     no bucket for ***       (AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI)

`without_credentials` knows their form, and gives the same everywhere: names and fingerprints may be made of it.
`masked` takes out the values of this process's environment too: for people, not for programs. What is personal in a
document's text is another matter: pipelines/pii.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

BLANK = "***"
# Userinfo (RFC 3986, 3.2.1) up to the last @ before the path; behind a user, and unless a port stands there, up to the
# last @ at all: secret keys hold @ and / that nobody has escaped.
USERINFO = re.compile(r"(?<=//)(?:[^/?#\s:@'\"]+:(?!\d+/)[^?#\s]*|[^/?#\s'\"]+)@")
PARAMETER = re.compile(
    r"([?&;](?:[\w.-]*(?:token|secret|passwo?r?d|passphrase|signature|credential|api[_-]?key|access[_-]?key)[\w.-]*"
    r"|auth|authorization|key|sig|pass|pwd)=)[^&;#\s'\"<>]+",
    re.IGNORECASE,
)
# Of the environment: HF_TOKEN, AWS_SECRET_ACCESS_KEY, DB_PASSWORD, …; not what says where a secret lies.
SECRET_NAME = re.compile(
    r"(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL)S?(?:_|$)"
    r"(?!.*(?:FILE|PATH|DIR|FOLDER|HOME|URL|URI|ENDPOINT)$)",
    re.IGNORECASE,
)
LEAST = 6  # characters: a shorter value is a word that stands everywhere
HEADER = re.compile(r"\b(Bearer|Authorization: ?Basic)\s+[\w.~+/=-]{8,}")


def without_credentials(text: str) -> str:
    """The text with `***` in place of users and passwords of URLs, keys and tokens of their queries, and of headers."""
    text = USERINFO.sub(f"{BLANK}@", text)
    return HEADER.sub(rf"\1 {BLANK}", PARAMETER.sub(rf"\g<1>{BLANK}", text))


def masked(text: str) -> str:
    """The same, and `***` in place of what the environment's variables of such names hold: the longest first."""
    for value in secrets():
        text = text.replace(value, BLANK)
    return without_credentials(text)


def secrets() -> list[str]:
    """What the environment's secret variables hold, as it stands and as it stands in URLs, the longest first."""
    values = {value.strip() for name, value in os.environ.items() if SECRET_NAME.search(name)}
    values = {value for value in values if len(value) >= LEAST}
    return sorted(values | {quote(value, safe="") for value in values}, key=lambda one: (-len(one), one))


def is_masked(address: str) -> bool:
    """Whether an address is one whose credentials were taken out: nothing can be reached by it."""
    return f"//{BLANK}@" in address or ("://" in address and f"={BLANK}" in address)


def values_without_credentials(value: Any, of_text: Callable[[str], str] = without_credentials) -> Any:
    """The same for each text in lists and mappings; keys stay."""
    if isinstance(value, str):
        return of_text(value)
    if isinstance(value, dict):
        return {key: values_without_credentials(one, of_text) for key, one in value.items()}
    return [values_without_credentials(one, of_text) for one in value] if isinstance(value, list | tuple) else value
