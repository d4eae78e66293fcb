"""GSM8K's answers, compared as in lm-evaluation-harness (gsm8k/gsm8k.yaml): which number of a text counts."""

from __future__ import annotations

import re

UNTIL = ("Question:", "</s>", "<|im_end|>")
MAX_TOKENS = 256  # the harness's `max_gen_toks`
STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")
NOTHING = "[invalid]"


def strict_match(text: str, answer: str) -> bool:
    """The number behind the first `#### ` is the answer's."""
    found = STRICT.findall(text)
    return _comparable(found[0].strip() if found else NOTHING) == _comparable(answer)


def flexible_extract(text: str, answer: str) -> bool:
    """The last number in the text is the answer's."""
    found = FLEXIBLE.findall(text)
    last = next((group for group in found[-1] if group), NOTHING).strip() if found else NOTHING
    return _comparable(last) == _comparable(answer)


def _comparable(text: str) -> str:
    for pattern in IGNORED:
        text = re.sub(pattern, "", text)
    return text.lower()
