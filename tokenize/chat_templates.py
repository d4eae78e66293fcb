"""Which chat template a model speaks, as a description that travels in recipes and manifests; none is our own.

{"kind": "house"}                                         tokenize/chat_template.py
{"kind": "chatml"}                                        tokenize/chatml.py
{"kind": "jinja", "source": text, "variables": {…}}       tokenize/jinja_chat.py
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.errors import ContractError, InputError
from .bpe import Tokenizer
from .chat_template import ChatTemplate, Messages, OwnTemplate
from .chatml import ChatML
from .hf_files import CHAT_TEMPLATE
from .jinja_chat import JinjaTemplate
from .jinja_sandbox import BEGIN, END, SandboxedTemplate

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


def as_text(description: Description, messages: Messages, generation_prompt: bool = False) -> str:
    """A conversation with its special tokens spelled out: transformers' `apply_chat_template(…, tokenize=False)`.

    Whoever encodes it cannot tell what the template wrote from what a message spelled: for lm-evaluation-harness, which
    hands on text alone. Without `generation_prompt` a last message of the assistant stays open, to be gone on with.
    Raises InputError when the template does not take the conversation.
    """
    kind = description["kind"]
    sources = {"house": CHAT_TEMPLATE, "chatml": CHATML}
    template = _compiled(sources[kind] if kind in sources else description["source"])
    variables = {**description.get("variables", {}), BEGIN: "", END: ""}
    given = [dict(one) for one in messages]
    text = template.render(messages=given, add_generation_prompt=generation_prompt, **variables)
    if generation_prompt or not given or given[-1]["role"] != "assistant":
        return text
    last = given[-1]["content"].strip()
    return text[: text.rindex(last) + len(last)] if last in text else text


@lru_cache(maxsize=4)
def _compiled(source: str) -> SandboxedTemplate:
    return SandboxedTemplate(source)


def end_of_answer(template: ChatTemplate) -> int:
    """The last token that a model learns of an answer, with which it ends. Raises InputError when there is none."""
    ids, learned = template.encode(PROBE)
    found = [token for token, counts in zip(ids, learned, strict=True) if counts]
    if not found:
        raise InputError("the chat template leaves nothing of an answer to learn", "take another template")
    return found[-1]
