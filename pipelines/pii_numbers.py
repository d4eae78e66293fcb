"""Numbers that lead to a person: addresses of machines, telephones, payment cards, bank accounts.

Each finder yields (start, end) of what it is sure of. HINT is its cheap question for RE2: a text without a match has
nothing to find. Regular expressions here have bounded repeats only: time is linear in the text, whatever it holds. They
begin with a set of characters, which Python's `re` looks for quickly, and look behind after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

Span = tuple[int, int]

# ── IP addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────

IP_HINT = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:"
IPV4 = re.compile(r"[0-9](?<![\w.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
IPV6 = re.compile(r"[23](?<![\w:.].)[0-9A-Fa-f]{3}:[0-9A-Fa-f:.]{2,40}(?!\w)")
VERSION = re.compile(
    r"(?:\b(?:v|ver|version|release|rev|revision|build|firmware|section|chapter|§)|[^\W_][/_-])[\s.:#=]{0,4}\Z", re.I
)


def ips(text: str) -> Iterator[Span]:
    """Public addresses: no private, loopback or documentation ranges, and no version or section numbers."""
    for match in IPV4.finditer(text):
        try:
            address = IPv4Address(match[0])
        except AddressValueError:
            continue
        parts = sorted(address.packed)  # small in sections and versions, hardly ever in addresses
        versionlike = parts[2] < 10 or parts[3] < 20 or VERSION.search(text[max(0, match.start() - 12) : match.start()])
        if address.is_global and not address.is_multicast and not versionlike:
            yield match.span()
    for match in IPV6.finditer(text):
        for shown in (match[0], match[0].rstrip(":.")):  # a sentence's full stop is no part
            try:
                address = IPv6Address(shown)
            except AddressValueError:
                continue
            if address.is_global:
                yield match.start(), match.start() + len(shown)
            break


# ── telephones ───────────────────────────────────────────────────────────────────────────────────────────────────────

PHONE_HINT = r"[0-9](?:[ ()./\-‐‑–]{0,3}[0-9]){6}"
PHONE = re.compile(
    r"[0-9+(](?<![\w.,+=#$€£/-].)(?<![0-9] \+)(?:(?<=[0-9])|[0-9])[0-9 ()./‐‑–-]{5,24}[0-9](?!\w|[ .,/:-]?[0-9])"
)
GROUP = re.compile(r"[0-9]+")
NANP = re.compile(r"(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}")
TRUNK = re.compile(r"\(?0[0-9]{1,4}\)?(?: ?[ /‐‑–-] ?|\.)[0-9]{2,8}(?:(?: ?[ /‐‑–-] ?|\.)[0-9]{2,8}){0,4}")
DATE = re.compile(r"[0-9]{1,2}([./-])[0-9]{1,2}\1(?:19|20)[0-9]{2}\b|(?:19|20)[0-9]{2}([./-])[0-9]{1,2}\2[0-9]{1,2}\b")
CUE = re.compile(
    r"(?:\b(?:tel|telephone|phone|fax|telefax|mobile|cell|whatsapp|hotline|telefon|handy|mobil|mobiltelefon|fon|tlf|tfn"
    r"|téléphone|portable|tél|teléfono|telefono|móvil|celular|telefone|cellulare|telefoon|puhelin|telefonnummer"
    r"|phone number|тел|телефон|факс|τηλ)|电话|電話|手机|传真|전화)[\s.:：°#/()-]{0,6}\Z",
    re.IGNORECASE,
)
NOT_PHONE = re.compile(r"(?:isbn|issn|doi|ean|oclc|lccn|pmid)[\s:-]{0,3}(?:1[03])?[\s:-]{0,3}\Z", re.IGNORECASE)
# Calling codes, ITU E.164: of one, two and three digits.
CALLING = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1245][0-9]|26[0-9]|29[0-9]|3[578][0-9]|42[013]|5[09][0-9]|6[789][0-9]|8[05789][0-9]|9[679][0-9]"
)


def phones(text: str) -> Iterator[Span]:
    """Numbers with a country's code, of North America, with a trunk 0, and others behind a word for telephone."""
    for match in PHONE.finditer(text):
        before = text[max(0, match.start() - 24) : match.start()]
        if is_phone(match[0], bool(CUE.search(before))) and not NOT_PHONE.search(before):
            yield match.span()


def is_phone(written: str, cue: bool) -> bool:
    """Whether a run of digits and separators is written as telephone numbers are. cue: a word before it says so."""
    groups = GROUP.findall(written)
    number = "".join(groups)
    if DATE.match(written) or len(groups) > 6 or re.search(r"[()./ ‐‑–-]{4}", written):
        return False
    if written[0] == "+" or written.startswith("00"):
        bare = number.removeprefix("00") if written[0] != "+" else number
        known = CALLING.match(bare) is not None and 8 <= len(bare) <= 15
        return known and (len(groups) > 1 or cue or (written[0] == "+" and len(bare) >= 10))
    if NANP.fullmatch(written):
        return True
    if 9 <= len(number) <= 12 and TRUNK.fullmatch(written):
        return len(groups) < 4 or len(set(re.sub(r"[0-9()]", "", written))) == 1  # 02 12-28-99 03 is none
    return cue and 6 <= len(number) <= 15


# ── payment cards, bank accounts ─────────────────────────────────────────────────────────────────────────────────────

CARD_HINT = r"[2-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}|3[0-9]{3}[ -]?[0-9]{6}"
CARD = re.compile(r"[2-6](?<![\w.,+=#/-].)[0-9]{3}(?:[ -]?[0-9]){9,15}(?!\w|[ .,-]?[0-9])")
# Issuers' prefixes with the lengths of their numbers: Visa, Mastercard, American Express, Discover, JCB, Diners.
ISSUERS = (
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"6011|64[4-9]|65"), {16, 19}),
    (re.compile(r"35[2-8]"), {16}),
    (re.compile(r"30[0-5]|36|38|39"), {14}),
)
GROUPINGS = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1)}


def cards(text: str) -> Iterator[Span]:
    """Numbers of known issuers in their length and grouping, with the right check digit."""
    for match in CARD.finditer(text):
        groups = tuple(map(len, GROUP.findall(match[0])))
        number = "".join(GROUP.findall(match[0]))
        issued = any(prefix.match(number) and len(number) in lengths for prefix, lengths in ISSUERS)
        if issued and (len(groups) == 1 or groups in GROUPINGS) and luhn(number):
            yield match.span()


def luhn(number: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1)."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2]]
    return (sum(map(int, number[-1::-2])) + sum(doubled)) % 10 == 0


IBAN_HINT = r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}"
IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z][0-9]{2}(?= ?[A-Z0-9])")
# Lengths by country, of the SWIFT registry.
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def ibans(text: str) -> Iterator[Span]:
    """Account numbers in their country's length with the right check digits (ISO 13616, ISO 7064 MOD 97-10)."""
    for match in IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2], 0)
        found, at = match[0], match.end()
        while len(found) < length and at < len(text):
            if text[at] == " " and text[at - 1] != " ":
                at += 1
                continue
            if not (text[at].isascii() and text[at].isalnum()):
                break
            found, at = found + text[at], at + 1
        whole = len(found) == length and not text[at : at + 1].isalnum()
        if whole and int("".join(str(int(sign, 36)) for sign in found[4:] + found[:4])) % 97 == 1:
            yield match.start(), at
