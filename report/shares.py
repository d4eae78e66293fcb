"""Of which sources and languages the documents are: before the steps that choose, behind them, and in the shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .amounts import SPLITS, Amount, Amounts
from .flow import Flow

MOST = 12  # languages of a table; the others stand together
_NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali",
    "ca": "Catalan", "ceb": "Cebuano", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "gl": "Galician", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "ka": "Georgian", "kk": "Kazakh", "ko": "Korean", "la": "Latin", "lt": "Lithuanian", "lv": "Latvian",
    "mk": "Macedonian", "ml": "Malayalam", "mr": "Marathi", "ms": "Malay", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian",
    "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Documents that came, documents that stayed, and their tokens; of training, where it is known."""

    name: str
    before: int
    after: int
    tokens: int
    share: float | None = None  # of the training tokens
    epochs: float | None = None  # times that a pass goes through it


def sources(flow: Flow, amounts: Amounts | None) -> list[Part]:
    """The source with most records first."""
    behind = amounts.by_source(_last(amounts)) if amounts else {}
    tokens = _tokens(amounts, Amounts.by_source)
    mixture = amounts.mixture if amounts else {}
    parts = [
        Part(
            name,
            one.get("documents_in", 0),
            behind[name].documents if name in behind else 0 if behind else one.get("documents", 0),
            tokens.get(name, 0),
            mixture.get(name, {}).get("share"),
            mixture.get(name, {}).get("epochs"),
        )
        for name, one in flow.sources.items()
    ]
    return sorted(parts, key=lambda part: (-part.before, part.name))


def languages(amounts: Amounts | None) -> list[Part]:
    """Of texts, before the language was judged and behind the last step; the commonest first, the rest as one."""
    if amounts is None:
        return []
    first = next((step for step in ("before language", "extract") if step in amounts.steps), "extract")
    before, after = amounts.by_language(first), amounts.by_language(_last(amounts))
    tokens = _tokens(amounts, Amounts.by_language)
    parts = [
        Part(
            language(name),
            before.get(name, Amount()).documents,
            after.get(name, Amount()).documents,
            tokens.get(name, 0),
        )
        for name in {*before, *after}
    ]
    parts.sort(key=lambda part: (-part.after, -part.before, part.name))
    head, rest = parts[:MOST], parts[MOST:]
    return head + _together(rest) if len(rest) > 1 else parts


def language(code: str) -> str:
    """`de German`; a code without a name stays one."""
    return f"{code} {_NAMES[code]}" if code in _NAMES else code or "unknown"


def _together(rest: Sequence[Part]) -> list[Part]:
    sums = (sum(getattr(part, what) for part in rest) for what in ("before", "after", "tokens"))
    return [Part(f"{len(rest)} others", *sums)]


def _last(amounts: Amounts) -> str:
    return [step for step in amounts.steps if step not in SPLITS][-1]


def _tokens(amounts: Amounts | None, by: Callable[[Amounts, str], Mapping[str, Amount]]) -> dict[str, int]:
    """In the shards; estimated before there are any."""
    if amounts is None:
        return {}
    steps = [split for split in SPLITS if split in amounts.steps] or [_last(amounts)]
    found: dict[str, int] = {}
    for step in steps:
        for name, one in by(amounts, step).items():
            found[name] = found.get(name, 0) + one.tokens
    return found
