"""Conversations out of chat data of others, in the formats that go round, found row by row:

    messages    {"messages": [{"role": "user", "content": …}, …]}
    sharegpt    {"conversations": [{"from": "human", "value": …}, …]}, `system` beside it
    alpaca      {"instruction": …, "input": …, "output": …}; also under the names of PAIRS, `system` and `history`
                ([[question, answer], …]) beside it. `input` goes below the instruction, a blank line between

Out: messages {role, content} of the roles system (at most one, first), user, assistant: the user begins, they take
turns, one answer at least. A row that gives none is a reject with one of the reasons:

    not_utf8, not_json, not_an_object    the line is no JSON object
    unknown_format                       it has the keys of none of the formats
    wrong_type                           a turn is no object, or a text no string
    unknown_role                         a role that is not in ROLES, as of tools
    empty_content                        a turn without text; an empty system turn is left out
    assistant_first, out_of_turn         an answer without a question; two turns of one role, a system turn later on
    no_assistant_turn                    nothing to learn

Rejects are counted, up to a limit: train/chat_rejects.py. A question at the end is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .chat_files import Found, read_rows
from .chat_rejects import Reject, Tally

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
)


@dataclass(frozen=True)
class Conversation:
    file: str
    row: int
    messages: list[dict[str, str]]

    @property
    def doc_id(self) -> str:
        return f"{Path(self.file).name}:{self.row}"


class Unfit(Exception):
    """A row that is no conversation: reason, detail."""


def read_conversations(
    paths: Iterable[Path], tally: Tally | None = None, form: str = "auto"
) -> Iterator[Conversation | Reject]:
    """The rows of the files in their order, each as conversation or reject, counted in `tally`.

    `form`: messages, sharegpt or alpaca rejects rows of other formats as `unknown_format`; auto takes all.

    Raises InputError when a file cannot be read, and when there are more rejects than the tally allows.
    """
    tally = tally if tally is not None else Tally()
    for path in paths:
        for place, row in read_rows(Path(path)):
            found = _read(str(path), place, row, form)
            if isinstance(found, Conversation):
                tally.conversations += 1
            else:
                tally.reject(found)
            yield found


def to_messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The conversation of one row. Raises Unfit with reason and detail."""
    turns = _turns({key: value for key, value in row.items() if value is not None})
    messages = [_message(number, *turn) for number, turn in enumerate(turns, 1)]
    messages = [one for one in messages if one["role"] != "system" or one["content"].strip()]
    for number, one in enumerate(messages, 1):
        if not one["content"].strip():
            raise Unfit("empty_content", f"turn {number} ({one['role']}) has no text")
    begin = 1 if messages and messages[0]["role"] == "system" else 0
    if not any(one["role"] == "assistant" for one in messages):
        raise Unfit("no_assistant_turn", f"{len(messages)} turns, none of the assistant")
    if messages[begin]["role"] == "assistant":
        raise Unfit("assistant_first", "the first turn is the assistant's")
    for number, one in enumerate(messages[begin:]):
        if one["role"] != (turn := ("user", "assistant")[number % 2]):
            raise Unfit("out_of_turn", f"turn {begin + number + 1} is the {one['role']}'s in place of the {turn}'s")
    return messages


def _turns(row: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """(role, text) of each turn, unchecked."""
    system = [("system", row["system"])] if "system" in row else []
    for key in ("messages", "conversations"):
        if key not in row:
            continue
        if not isinstance(row[key], list):
            raise Unfit("wrong_type", f"{key} is {type(row[key]).__name__} in place of a list")
        turns = []
        for number, turn in enumerate(row[key], 1):
            if not isinstance(turn, dict):
                raise Unfit("wrong_type", f"turn {number} is {type(turn).__name__} in place of an object")
            names = ("from", "value") if "from" in turn else ("role", "content")
            turns.append((turn.get(names[0]), turn.get(names[1])))
        return system + turns
    for question, answer in PAIRS:
        if question in row and answer in row:
            return [
                *system,
                *_history(row),
                ("user", _asked(row[question], row.get("input", ""))),
                ("assistant", row[answer]),
            ]
    raise Unfit("unknown_format", f"keys: {', '.join(map(str, row))}"[:200])


def _asked(instruction: Any, added: Any) -> Any:
    """An Alpaca row's question. What is no string is given on, to be refused."""
    if not isinstance(instruction, str) or not isinstance(added, str):
        return instruction if isinstance(added, str) else added
    return f"{instruction}\n\n{added}" if added.strip() else instruction


def _history(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    history = row.get("history", [])
    if not isinstance(history, list) or not all(isinstance(one, list) and len(one) == 2 for one in history):
        raise Unfit("wrong_type", "history is no list of [question, answer]")
    for question, answer in history:
        yield from (("user", question), ("assistant", answer))


def _message(number: int, role: Any, content: Any) -> dict[str, str]:
    if not isinstance(role, str) or role not in ROLES:
        raise Unfit("unknown_role", f"turn {number} has the role {role!r}"[:200])
    if content is not None and not isinstance(content, str):
        raise Unfit("wrong_type", f"turn {number} ({role}) has {type(content).__name__} in place of a text")
    return {"role": ROLES[role], "content": content or ""}


def _read(file: str, place: int, row: Found, form: str) -> Conversation | Reject:
    if isinstance(row, tuple):
        return Reject(file, place, *row)
    try:
        found = "messages" if "messages" in row else "sharegpt" if "conversations" in row else "alpaca"
        if form not in ("auto", found):
            raise Unfit("unknown_format", f"of the format {found}, not {form}; keys: {', '.join(map(str, row))}"[:200])
        return Conversation(file, place, to_messages(row))
    except Unfit as unfit:
        return Reject(file, place, *unfit.args)
