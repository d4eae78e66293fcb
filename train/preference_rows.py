"""Preference pairs out of files: what people publish, read into one form, and what is no pair rejected by name.

In: `.jsonl` (an object a line) or `.json` (one array of objects), gzipped where the name ends in `.gz`. A row has

    prompt       `prompt`, a text or messages; `conversations` or `messages`; or `instruction` with `input` behind it
    system       optional, a text
    chosen       a text, a message, or messages: of several, the last is the answer, and those before it, which both
    rejected     answers then share, are the prompt

A message is {role, content} or {from, value}; human is user, gpt is assistant. Out: `Pair`, or `Reject` with file and
line, the line where the row begins:

    unreadable   no JSON object, or a text with half a character in it
    missing      no prompt, chosen or rejected, or not as text or messages (rows with one labelled answer: KTO)
    empty        a prompt's message or an answer without text
    equal        both answers are the same text, but for white space around it
    roles        unknown roles, turns out of turn, answers that are not the assistant's or not to the same prompt
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.errors import InputError
from .json_rows import json_rows

Reason = Literal["unreadable", "missing", "empty", "equal", "roles"]
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
SURROGATE = re.compile("[\ud800-\udfff]")
Message = dict[str, str]


@dataclass(frozen=True)
class Pair:
    """A prompt, messages {role, content} of which the last is the user's, and two answers to it."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    source: str  # file:line


@dataclass(frozen=True)
class Reject:
    """A row that is no pair."""

    source: str  # file:line
    reason: Reason
    detail: str


class _Fault(Exception):
    """(reason, detail)"""


def read_pairs(paths: Sequence[Path], limit: int | None = None) -> tuple[list[Pair], list[Reject]]:
    """All rows of the files, in order. Raises InputError for a file that cannot be read, or is no array where it should
    be one, at the line where that shows; and when more than `limit` rows are rejected, with the counts and the first.
    """
    pairs: list[Pair] = []
    rejects: list[Reject] = []
    for path in paths:
        for line, row in json_rows(Path(path)):
            source = f"{path}:{line}"
            try:
                pairs.append(_pair(row, source))
            except _Fault as fault:
                reason, detail = fault.args
                rejects.append(Reject(source, reason, detail))
                if limit is not None and len(rejects) > limit:
                    raise InputError(
                        f"more than {limit} rows are no preference pairs ({counts(rejects)}); the first is "
                        f"{rejects[0].source}: {rejects[0].detail}",
                        "correct or remove them, or raise the limit",
                    ) from None
    return pairs, rejects


def counts(rejects: Sequence[Reject]) -> dict[str, int]:
    """Rejected rows by reason."""
    return dict(sorted(Counter(one.reason for one in rejects).items()))


def _pair(row: Any, source: str) -> Pair:
    """Raises _Fault."""
    if not isinstance(row, dict):
        raise _Fault("unreadable", f"no JSON object: {str(row)[:60]!r}")
    for name in ("chosen", "rejected"):
        if row.get(name) is None:
            raise _Fault("missing", f"no {name}")
    (before, chosen), (before_other, rejected) = _answer(row["chosen"], "chosen"), _answer(row["rejected"], "rejected")
    if before != before_other:
        raise _Fault("roles", "chosen and rejected answer different prompts")
    prompt = before or _prompt(row)
    if isinstance(row.get("system"), str) and row["system"].strip() and prompt[0]["role"] != "system":
        prompt = [{"role": "system", "content": row["system"]}, *prompt]
    for name, message in [*(("prompt", one) for one in prompt), ("chosen", chosen), ("rejected", rejected)]:
        if not message["content"].strip():
            raise _Fault("empty", f"no text in {name}")
        if not message["content"].isascii() and SURROGATE.search(message["content"]):
            raise _Fault("unreadable", f"half a character in {name}, by a \\u escape")
    _check_turns([*prompt, chosen])
    if rejected["role"] != "assistant":
        raise _Fault("roles", f"rejected is the {rejected['role']}'s")
    if chosen["content"].strip() == rejected["content"].strip():
        raise _Fault("equal", "chosen and rejected are the same text")
    return Pair(tuple(prompt), chosen["content"], rejected["content"], source)


def _prompt(row: Mapping[str, Any]) -> list[Message]:
    for name in ("prompt", "conversations", "messages"):
        if row.get(name) is not None:
            return _messages(row[name], "user", name)
    instruction, more = row.get("instruction"), row.get("input")
    if not isinstance(instruction, str):
        raise _Fault("missing", "no prompt, conversations, messages or instruction")
    asked = f"{instruction}\n\n{more}" if isinstance(more, str) and more.strip() else instruction
    return [{"role": "user", "content": asked}]


def _answer(value: Any, name: str) -> tuple[list[Message], Message]:
    """What stands before the answer, and the answer."""
    *before, answer = _messages([value] if isinstance(value, dict) else value, "assistant", name)
    return before, answer


def _messages(value: Any, role: str, name: str) -> list[Message]:
    """At least one message; a text is the only one of `role`."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise _Fault("missing", f"{name} is neither text nor messages")
    if not value:
        raise _Fault("empty", f"no message in {name}")
    return [_message(one, name) for one in value]


def _message(value: Any, name: str) -> Message:
    content = (value.get("content", value.get("value"))) if isinstance(value, dict) else None
    if not isinstance(content, str):
        raise _Fault("missing", f"a message of {name} without content")
    role = value.get("role", value.get("from"))
    if not isinstance(role, str) or role not in ROLES:
        raise _Fault("roles", f"a message of {name} has the role {role!r}")
    return {"role": ROLES[role], "content": content}


def _check_turns(messages: Sequence[Message]) -> None:
    """At most one system message, first; then user and assistant in turn, the assistant last."""
    roles = [one["role"] for one in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if len(turns) % 2 or any(role != ("assistant" if at % 2 else "user") for at, role in enumerate(turns)):
        raise _Fault("roles", f"turns are {', '.join(roles)}")
