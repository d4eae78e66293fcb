"""What transformers wants to know of a tokenizer beside its tokenizer.json: special tokens, and the chat template.

Spelled special tokens are text for us and tokens for transformers, as usual there: escape them in what users write.
"""

from __future__ import annotations

from typing import Any

from .bpe import ASSISTANT, END, END_OF_TEXT, SPECIAL_TOKENS, USER

# As tokenize/chat_template.py's OwnTemplate encodes it: turns alternate, the user's first, none empty; what the system
# says goes before the first question.
CHAT_TEMPLATE = (
    "{% set skipped = 1 if messages[0]['role'] == 'system' else 0 %}"
    "{% for message in messages[skipped:] %}"
    "{% set turn = 'assistant' if loop.index0 % 2 else 'user' %}"
    "{% if message['role'] != turn %}"
    "{{ raise_exception('message ' ~ (loop.index + skipped) ~ ' is not of the role ' ~ turn) }}"
    "{% endif %}"
    f"{{{{ '{ASSISTANT}' if loop.index0 % 2 else '{USER}' }}}}"
    "{% if skipped and loop.first %}{{ messages[0]['content'] ~ '\\n\\n' }}{% endif %}"
    f"{{{{ message['content'] ~ '{END}' }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ '{ASSISTANT}' }}}}{{% endif %}}"
)


def tokenizer_config(context: int, chat: bool) -> dict[str, Any]:
    """tokenizer_config.json. With `chat` a text ends with the assistant's turn, else with the document."""
    found: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "bos_token": END_OF_TEXT,
        "eos_token": END if chat else END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "padding_side": "left",  # for answers to several prompts at once
        "additional_special_tokens": [token for token in SPECIAL_TOKENS if token != END_OF_TEXT],
    }
    return found | ({"chat_template": CHAT_TEMPLATE} if chat else {})
