"""Numbers as the page writes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from ..tune.show import short as short


def count(number: float | None) -> str:
    """1627058 as 1,627,058; nothing for None."""
    return "" if number is None else f"{round(number):,}"


def share(value: float, digits: int = 1) -> str:
    """0.0312 as 3.1 %; what is neither nothing nor all is not written as if it were."""
    text = f"{100 * value:.{digits}f}"
    least = 10**-digits
    if value > 0 and float(text) == 0:
        return f"< {least:g} %"
    if value < 1 and float(text) == 100:
        return f"> {100 - least:g} %"
    return f"{text} %"


def number(value: float) -> str:
    """Four digits, with separators from a thousand on; powers of ten where it is very large or small."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.4g}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.3g}".replace("e+0", "e").replace("e+", "e")


def size(octets: float) -> str:
    """Bytes: 3.2 MB."""
    for unit, least in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if octets >= least * 0.9995:
            return f"{octets / least:.3g} {unit}"
    return f"{octets:.0f} B"


def duration(seconds: float) -> str:
    """Two units at most: 4.2 s, 3 min 20 s, 5 h 7 min, 2 d 3 h."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    for large, small, into, each in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= into:
            rest = whole % into // each
            return f"{whole // into} {large}" + (f" {rest} {small}" if rest else "")
    return "60 s"


def money(amount: float, currency: str) -> str:
    """12.40 USD; what is neither nothing nor a hundredth is less than one."""
    return f"{amount:,.2f} {currency}" if amount >= 0.005 or not amount else f"< 0.01 {currency}"


def moment(seconds: float) -> str:
    """A time since 1970 as 2026-11-29 02:31:45 UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plural(number: float, word: str) -> str:
    """1 document, 2,000 documents."""
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def excerpt(text: str, most: int) -> str:
    """The beginning of a text, with how much more there is."""
    return text if len(text) <= most else f"{text[:most].rstrip()} … [{len(text) - most:,} more characters]"
