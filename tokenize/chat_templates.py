"""Which chat template a model speaks, as a description that travels in recipes and manifests; none is our own.

{"kind": "house"}                                         tokenize/chat_template.py
{"kind": "chatml"}                                        tokenize/chatml.py
{"kind": "jinja", "source": text, "variables": {…}}       tokenize/jinja_chat.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import ContractError, InputError
from .bpe import Tokenizer
from .chat_template import ChatTemplate, OwnTemplate
from .chatml import ChatML
from .jinja_chat import JinjaTemplate

Description = Mapping[str, Any]
CHATML = (  # as tokenize/chatml.py encodes it, for transformers
    "{% for message in messages %}"
    "{{ '<|im_start|>' ~ message['role'] ~ '\\n' ~ message['content'] ~ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PROBE = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})


def describe(kind: str, tokenizer: Tokenizer, folder: Path | None = None) -> dict[str, Any]:
    """The description of a recipe's template. Raises InputError when the tokenizer or the folder does not have it."""
    if kind == "jinja":
        assert folder is not None, "the recipe's check asks for it"
        return JinjaTemplate.load(folder, tokenizer).description
    make_template({"kind": kind}, tokenizer)
    return {"kind": kind}


def make_template(description: Description | None, tokenizer: Tokenizer) -> ChatTemplate:
    """The template. Raises InputError when the tokenizer lacks its special tokens, ContractError for an unknown one."""
    kind = (description or {}).get("kind", "house")
    if description is None or kind == "house":
        return OwnTemplate(tokenizer)
    if kind == "chatml":
        return ChatML(tokenizer)
    if kind == "jinja":
        return JinjaTemplate(tokenizer, description["source"], description["variables"])
    raise ContractError(f"the chat template is {kind!r}, which this program does not know", "use the version it is of")


def end_of_answer(template: ChatTemplate) -> int:
    """The last token that a model learns of an answer, with which it ends. Raises InputError when there is none."""
    ids, learned = template.encode(PROBE)
    found = [token for token, counts in zip(ids, learned, strict=True) if counts]
    if not found:
        raise InputError("the chat template leaves nothing of an answer to learn", "take another template")
    return found[-1]
