r"""The names that a GGUF file has for ways to cut text into pieces, as the regular expressions that they stand for.

A GGUF carries no expression: `tokenizer.ggml.pre` names one that llama.cpp has in its code (src/llama-vocab.cpp, the
source of this table). Where llama.cpp cuts with one expression after the other, one that does the same stands here:

    smollm      each digit apart first, then GPT-2's pieces within what lies between: white space before a digit stays
                together

llama.cpp knows none that cuts as gpt4-marks does. NEAREST has the one that gives the same pieces to every text without
combining marks.
"""

from __future__ import annotations

from typing import Any

from .patterns import regex_of

_CASES = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?"
_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SMOLLM = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"
REGEXES = {
    "gpt-2": regex_of("gpt2"),
    "llama-bpe": regex_of("gpt4"),
    "qwen2": regex_of("gpt4", 1),
    "qwen35": rf"{_ENDING}|{_WORD}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACE}",
    "smollm": _SMOLLM,
    "tekken": (
        rf"{_WORD}{_CASES[0]}*{_CASES[1]}+|{_WORD}{_CASES[0]}+{_CASES[1]}*"
        rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACE}"
    ),
    "gpt-4o": (
        rf"{_WORD}{_CASES[0]}*{_CASES[1]}+{_ENDING}?|{_WORD}{_CASES[0]}+{_CASES[1]}*{_ENDING}?"
        rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACE}"
    ),
}
_OTHER_NAMES = {  # in llama.cpp, for the same pieces
    "gpt-2": ("phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "modern-bert"),
    "llama-bpe": ("llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "dbrx", "smaug-bpe"),
    "qwen2": ("deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"),
    "smollm": ("starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
    "gpt-4o": ("llama4",),
}
NAMES = {name: name for name in REGEXES} | {other: name for name, many in _OTHER_NAMES.items() for other in many}
WHOLE_PIECES = {"llama-bpe"}  # a piece that is a token is that token, whatever the merges make of it
_SPELLINGS = {  # of the same expressions in tokenizer.json files
    rf"{_ENDING}|{_WORD}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACE}": "llama-bpe",
    rf"{_ENDING}|{_WORD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACE}": "qwen2",
} | {regex: name for name, regex in REGEXES.items()}
NEAREST = {regex_of("gpt4-marks"): "llama-bpe", regex_of("gpt4-marks", 1): "qwen2"}


def name_of(pre_tokenizer: dict[str, Any] | None) -> tuple[str, bool] | None:
    """llama.cpp's name for the pre-tokenizer of a tokenizer.json, and whether it cuts every text alike; None when it
    knows nothing near. The text must be spelled in bytes."""
    steps = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    kinds = [(step.get("type"), step.get("use_regex", True), step.get("add_prefix_space", True)) for step in steps]
    if kinds[-1] == ("ByteLevel", True, False):  # with GPT-2's own expression
        digits = [step.get("type") == "Digits" and step.get("individual_digits") for step in steps[:-1]]
        return {(): ("gpt-2", True), (True,): ("smollm", True)}.get(tuple(digits))
    if len(steps) != 2 or kinds[1] != ("ByteLevel", False, False) or kinds[0][0] != "Split":
        return None
    regex = steps[0]["pattern"].get("Regex", "")
    if steps[0]["behavior"] != "Isolated" or steps[0].get("invert"):
        return None
    if regex in _SPELLINGS:
        return _SPELLINGS[regex], True
    return (NEAREST[regex], False) if regex in NEAREST else None
