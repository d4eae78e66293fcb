"""Answers that a model writes: GSM8K's, generated, cut and compared as in lm-evaluation-harness (gsm8k/gsm8k.yaml)."""

from __future__ import annotations

import re

from ..model.generation import generate
from ..model.transformer import Transformer
from ..tokenize.bpe import Tokenizer

UNTIL = ("Question:", "</s>", "<|im_end|>")
MAX_TOKENS = 256  # the harness's `max_gen_toks`
STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")
NOTHING = "[invalid]"


def answer_text(model: Transformer, tokenizer: Tokenizer, prompt: str, max_tokens: int = MAX_TOKENS) -> str:
    """What the model writes greedily after the prompt, up to a stop string or the end of text.

    A prompt that leaves too little room loses its beginning; where the model's whole context is no more than twice
    max_tokens (the harness refuses it below once), half of it is room.
    """
    context = model.config.context
    room = min(max_tokens, context // 2)
    ids = tokenizer.encode(prompt)[-(context - room) :]
    written: list[int] = []
    text = ""
    for token in generate(model, ids, max_tokens=room, temperature=0, stop_ids=(tokenizer.end_of_text,)):
        written.append(token)
        text = tokenizer.decode(written)
        if any(stop in text for stop in UNTIL):
            break
    for stop in UNTIL:
        text = text.split(stop)[0]
    return text


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
