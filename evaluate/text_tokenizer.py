"""What an evaluation needs of a tokenizer: ids as lm-evaluation-harness's `HFLM` gets them of transformers.

A text that spells a special token has it, as there: chat templates are text when they reach a model. What the file puts
before every text stands before it, unless the text begins with it. The files beside tokenizer.json are those of
tokenize/given.py; which ids end an answer is what `generate` takes of the same folder, or of the one that
`crawl2chat export` would write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import tokenizers
from tokenizers import processors

from ..core.errors import InputError
from ..tokenize.bpe import SPECIAL_TOKENS
from ..tokenize.chat_templates import Description, as_text
from ..tokenize.encoders import valid
from ..tokenize.given import ENDS
from ..tokenize.roles import CONFIG, read_object, read_roles

NAMES = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")  # of an end, where no file says which it is
Message = Mapping[str, str]


class TextTokenizer(Protocol):
    """Texts to ids and back, for one model. A plain Tokenizer of ours is one, for a base model."""

    digest: str

    @property
    def prefix_id(self) -> int:
        """What an empty context is."""
        ...

    @property
    def stop_ids(self) -> frozenset[int]:
        """Each of them ends an answer."""
        ...

    def encode(self, text: str) -> list[int]: ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


class ModelTokenizer:
    """A tokenizer.json, of whatever maker, with what the files beside it say of its special tokens."""

    def __init__(self, path: Path, template: Description | None = None, stop_ids: Collection[int] = ()) -> None:
        """template: of conversations, None where the model has none; stop_ids: what ends an answer, beside what the
        files say. Raises InputError for a file that is no tokenizer, and where no end of a text is known."""
        data = _read(path)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(data)
            special = {one["content"] for one in json.loads(data).get("added_tokens") or [] if one["special"]}
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{path} is not a tokenizer: {error}", "fetch the file again") from error
        self.digest: str = hashlib.sha256(data).hexdigest()
        self.template = template
        roles = read_roles(path.parent)
        stops = self._stops(path, special, roles)
        begins = [self._tokenizer.token_to_id(roles[one]) for one in ("bos_token", "eos_token") if one in roles]
        self.prefix_id: int = next((one for one in begins if one is not None), stops[0])
        self.stop_ids = frozenset([*stops, *stop_ids])
        self._put_before(roles.get("bos_token"), read_object(path.with_name(CONFIG)).get("add_bos_token"))
        self._prefix: str | None = self._tokenizer.id_to_token(self.prefix_id)

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        sound = [valid(text) for text in texts]
        begun = [self._prefix is not None and text.startswith(self._prefix) for text in sound]
        found = {mark: self._encoded(sound, begun, mark) for mark in (True, False)}
        return [next(found[mark]) for mark in begun]

    def _encoded(self, texts: Sequence[str], begun: Sequence[bool], mark: bool) -> Iterator[list[int]]:
        some = [text for text, has in zip(texts, begun, strict=True) if has == mark]
        return (one.ids for one in self._tokenizer.encode_batch_fast(some, add_special_tokens=not mark))

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids))

    def chat(self, messages: Sequence[Message], generation_prompt: bool = True) -> str:
        """A conversation as text, special tokens spelled out. A template that takes no system's message goes without
        it, as in the harness. Raises InputError where the model has no template, or one that does not take the rest."""
        if self.template is None:
            raise InputError("the model has no chat template", "leave `chat` out: it is asked in plain words then")
        try:
            return as_text(self.template, messages, generation_prompt)
        except InputError:
            rest = [one for one in messages if one["role"] != "system"]
            return as_text(self.template, rest, generation_prompt)

    def _put_before(self, begin: str | None, said: object) -> None:
        """tokenizer_config.json's add_bos_token stands above what tokenizer.json says, as in transformers 5."""
        if isinstance(said, bool):
            number = self._tokenizer.token_to_id(begin) if begin and said else None
            single = "$A" if number is None else f"{begin} $A"
            tokens = [] if number is None else [(begin, number)]
            processor: Any = processors.TemplateProcessing(single=single, special_tokens=tokens)
            self._tokenizer.post_processor = processor

    def _stops(self, path: Path, special: set[str], roles: Mapping[str, str]) -> list[int]:
        """Of generation_config.json, else of config.json, and eos_token; of a folder that is no model's of Hugging
        Face's, as one that was imported, also what ends a turn by its name (tokenize/given.py)."""
        folder = path.parent
        named = (_numbers(read_object(folder / name)) for name in ("generation_config.json", "config.json"))
        found: list[int | None] = [*next((some for some in named if some), [])]
        found += [self._tokenizer.token_to_id(roles["eos_token"])] if "eos_token" in roles else []
        if not (folder / "config.json").exists() and not special.issuperset(SPECIAL_TOKENS):
            found += [self._tokenizer.token_to_id(one) for one in ENDS if one in special]
        known = [one for one in found if one is not None]
        known = known or [one for name in NAMES if (one := self._tokenizer.token_to_id(name)) is not None][:1]
        if not known:
            raise InputError(
                f"{path} has none of the tokens {', '.join(NAMES)}, and no config.json beside it names eos_token_id",
                "put the model's config.json beside it",
            )
        return known


def _numbers(fields: Mapping[str, Any]) -> list[int]:
    found = fields.get("eos_token_id")
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, int)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"no tokenizer at {path}: {error.strerror}", "put the model's tokenizer.json there") from error
