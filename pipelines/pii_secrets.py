"""Secrets of known formats: keys and tokens that services give a prefix of their own, signed tokens, private keys.

The formats are those that the services document, for their own scanners. Test keys and public keys (`pk_live_…`) are no
secrets. Repeats are bounded or possessive: time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

SECRET_HINT = (
    r"AKIA|ASIA|(?i:aws).{0,20}(?i:secret)|gh[opusr]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|hooks\.slack\.com/"
    r"|[sr]k_live_|AIza|sk-|hf_|npm_|pypi-|SG\.|eyJ|-----BEGIN|dop_v1_|ya29\."
)
TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"  # AWS access key
    r"|gh[opusr]_[A-Za-z0-9]{36,255}+|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"  # GitHub
    r"|glpat-[\w-]{20,64}+"  # GitLab
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}+|xapp-[0-9]-[A-Za-z0-9-]{20,250}+"  # Slack
    r"|[sr]k_live_[A-Za-z0-9]{16,247}+"  # Stripe
    r"|AIza[\w-]{35}(?![\w-])|ya29\.[\w-]{30,500}+"  # Google
    r"|sk-(?:proj-|ant-|svcacct-)?(?=[\w-]{0,200}[0-9])(?=[\w-]{0,200}[A-Z])[\w-]{32,250}+"  # model providers
    r"|hf_[A-Za-z0-9]{34,40}+|npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,250}+|dop_v1_[0-9a-f]{64}"
    r"|SG\.[\w-]{16,32}\.[\w-]{40,50}"  # SendGrid
    r"|eyJ[\w-]{10,2000}+\.eyJ[\w-]{10,4000}+\.[\w-]{20,1000}+"  # JSON Web Token (RFC 7519)
    r")"
)
WEBHOOK = re.compile(r"(?<=hooks\.slack\.com/)(?:services|workflows)/[A-Za-z0-9/]{20,80}+")
AWS_SECRET = re.compile(
    r"""(?i:aws)[\w .-]{0,20}?(?i:secret)[\w .-]{0,20}?["']?\s{0,4}[:=]\s{0,4}["']?"""
    r"""([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"""
)
KEY_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
KEY_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
KEY_BODY = re.compile(r"(?:\s*+[A-Za-z0-9+/=]{16,}+)*+")
KEY_MAX = 20_000  # characters of a private key; a longer "block" is two mentions of such a line


def secrets(text: str) -> Iterator[Span]:
    """What gives access to something."""
    for pattern in (TOKEN, WEBHOOK):
        yield from (match.span() for match in pattern.finditer(text))
    yield from (match.span(1) for match in AWS_SECRET.finditer(text))
    at = 0
    while begin := KEY_BEGIN.search(text, at):
        end = KEY_END.search(text, begin.end(), begin.end() + KEY_MAX)
        body = KEY_BODY.match(text, begin.end())
        at = end.end() if end else body.end() if body else begin.end()
        if at > begin.end():  # a mention of the line alone is no key
            yield begin.start(), at
