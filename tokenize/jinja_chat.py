"""A model's own chat template: a Jinja source as transformers keeps it, with ids and loss mask.

The template writes one string, in which what a user spelled and what the template wrote look alike. So every special
token that a message spells loses its first character to a private one before rendering, and gets it back as text
behind: the special tokens that are left are the template's. A tail of a message that could begin one is treated alike.

What is learned: the `generation` blocks, where the template has them. Else what stands behind the prompt for an answer,
`render(messages before, add_generation_prompt)`, up to the special token that ends `render(messages with it)`: both are
rendered for each answer. Turns before the last may look different then (Qwen3 leaves out their thoughts). A special
token right behind a block that does not end in one is learned too: a model has to stop.

Where no answer begins with white space the ids are those of `apply_chat_template`; see tokenize/chat_pieces.py. So are
those of a prompt with more than MOST answers before: where these begin matters to nothing else in it, and finding it
takes time with the square of their number, which a client of a server chooses.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from .chat_pieces import Piece, TextTokenizer, encode_pieces
from .chat_template import Messages, check_turns
from .jinja_sandbox import BEGIN, END, SandboxedTemplate

Stretch = tuple[int, int]  # first character, and the one behind the last
MOST = 16  # answers that are looked for in a prompt for another one
MARK_ANSWERS = "mark the answers in the template: {% generation %} … {% endgeneration %}"


class JinjaTemplate:
    def __init__(
        self,
        tokenizer: TextTokenizer,
        source: str,
        variables: Mapping[str, str] | None = None,
        name: str = "chat_template",
        now: datetime | None = None,
    ) -> None:
        """`variables` for the template, as bos_token and eos_token. Raises InputError when `source` is no template."""
        self.source = source
        self._template = SandboxedTemplate(source, name, now)
        self._tokenizer, self._name, self._variables = tokenizer, name, dict(variables or {})
        specials = sorted(tokenizer.special_tokens, key=lambda one: (-len(one), one))
        self._special = re.compile("|".join(map(re.escape, specials)) or r"(?!)")
        heads = {special[:size] for special in specials for size in range(1, len(special))}
        tails = "|".join(map(re.escape, sorted(heads, key=lambda one: (-len(one), one)))) or r"(?!)"
        self._opening = re.compile(rf"(?=(?:{self._special.pattern})|(?:{tails})\s*\Z)(.)", re.DOTALL)
        self._firsts = sorted({special[0] for special in specials})

    @classmethod
    def load(cls, folder: Path, tokenizer: TextTokenizer, now: datetime | None = None) -> JinjaTemplate:
        """The template of a Hugging Face folder. Raises InputError where there is none."""
        source, variables, name = read_template(folder)
        return cls(tokenizer, source, variables, name, now)

    @property
    def description(self) -> dict[str, Any]:
        """What tokenize/chat_templates.py makes it of again."""
        return {"kind": "jinja", "source": self._template.source, "variables": self._variables}

    def encode(self, messages: Messages, generation_prompt: bool = False) -> tuple[list[int], list[bool]]:
        """Ids and loss mask; see tokenize/chat_template.py's ChatTemplate."""
        check_turns(messages, generation_prompt, system=True)
        begin, end, *hidden = _unused("".join(one["content"] for one in messages) + self._template.source, self._firsts)
        hide = dict(zip(self._firsts, hidden, strict=True))
        show = str.maketrans({private: first for first, private in hide.items()})
        safe = [
            {"role": one["role"], "content": self._opening.sub(lambda found: hide[found[1]], one["content"])}
            for one in messages
        ]
        variables = self._variables | {BEGIN: begin, END: end}
        text = self._template.render(messages=safe, add_generation_prompt=generation_prompt, **variables)
        count, answers = sum(one["role"] == "assistant" for one in messages), None
        if self._template.marks_answers:
            text, answers = _marked(text, begin, end)
        elif count <= MOST or not generation_prompt:
            answers = list(self._answers(safe, text, variables))
        if answers is not None and len(answers) < count:
            raise InputError(
                f"{self._name} writes {len(answers)} answers of a conversation that has more", MARK_ANSWERS
            )
        pieces = self._pieces(text, answers or [])
        return encode_pieces(self._tokenizer, (Piece(p.text.translate(show), p.learned, p.special) for p in pieces))

    def _answers(self, messages: Messages, text: str, variables: Mapping[str, str]) -> Iterator[Stretch]:
        """Where the answers stand in the text, found by rendering what comes before each."""
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._template.render(messages=messages[:number], add_generation_prompt=True, **variables)
            closed = self._template.render(messages=messages[: number + 1], add_generation_prompt=False, **variables)
            start = len(prompt)
            last = [found[0] for found in self._special.finditer(closed, start)][-1:]
            stop = text.find(last[0], start) + len(last[0]) if last else len(closed)
            same = text.startswith(prompt) and closed.startswith(prompt)
            if not same or (not last and not text.startswith(closed)):
                raise InputError(
                    f"{self._name} writes message {number + 1} otherwise than it prompts for it: "
                    "what is to be learned cannot be told",
                    MARK_ANSWERS,
                )
            if stop <= start:
                raise InputError(f"{self._name} leaves out message {number + 1}, an answer", "take another template")
            yield start, stop

    def _pieces(self, text: str, answers: list[Stretch]) -> Iterator[Piece]:
        """The text cut at its special tokens and at the answers' borders."""
        borders = sorted({0, len(text), *chain.from_iterable(answers)})
        starts, ends = [start for start, _ in answers], {stop for _, stop in answers}
        place = 0
        before = Piece("")
        for found in chain(self._special.finditer(text), [None]):
            start = found.start() if found else len(text)
            cuts = [place, *borders[bisect_right(borders, place) : bisect_left(borders, start)], start]
            for first, behind in pairwise(cuts):
                if first < behind:
                    before = Piece(text[first:behind], _within(first, starts, answers))
                    yield before
            if found:
                closes = found.start() in ends and before.learned and not before.special
                before = Piece(found[0], closes or _within(start, starts, answers), special=True)
                yield before
                place = found.end()


def read_template(folder: Path) -> tuple[str, dict[str, str], str]:
    """Of a Hugging Face folder the template's source, in chat_template.jinja or in tokenizer_config.json, the special
    tokens that it may name, and the file's name. Raises InputError where there is none."""
    file = folder / "tokenizer_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        own = folder / "chat_template.jinja"
        source = own.read_text(encoding="utf-8") if own.exists() else config.get("chat_template")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file} is not readable: {error}", "give a model's folder as transformers saves") from error
    if isinstance(source, list):  # several by name
        source = {one["name"]: one["template"] for one in source}.get("default")
    if not isinstance(source, str):
        raise InputError(f"{folder} has no chat template", "take the template chatml, or our own")
    tokens = {key: _content(value) for key, value in config.items() if key.endswith("_token")}
    variables = {key: one for key, one in tokens.items() if one is not None}
    return source, variables, str(own if own.exists() else file)


def _within(place: int, starts: list[int], answers: list[Stretch]) -> bool:
    """Whether a place lies in one of the answers, which are in order and begin at `starts`."""
    number = bisect_right(starts, place) - 1
    return number >= 0 and place < answers[number][1]


def _marked(text: str, begin: str, end: str) -> tuple[str, list[Stretch]]:
    """The text without the marks, and the stretches between them."""
    kept, answers, length, opened = [], [], 0, 0
    for part in re.split(f"([{begin}{end}])", text):
        if part == begin:
            opened = length
        elif part == end:
            answers.append((opened, length))
        else:
            kept.append(part)
            length += len(part)
    return "".join(kept), [one for one in answers if one[0] < one[1]]


def _unused(text: str, firsts: list[str]) -> list[str]:
    """Private characters that the text does not hold: two, and one for each of `firsts`."""
    used = set(text)
    free = (chr(code) for code in chain(range(0xE000, 0xF900), range(0xF0000, 0xFFFFE)))
    return [one for one, _ in zip((char for char in free if char not in used), range(2 + len(firsts)), strict=False)]


def _content(value: object) -> str | None:
    """A token of tokenizer_config.json: its text, or an object that holds it."""
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None
