"""A trained model with its tokenizer, ready to continue texts and to answer questions, piece by piece.

Opened from a run's folder or an imported model's, in one process, without Ray. Used by `generate`, `chat`, `export`,
and the stage `samples`.
"""

from __future__ import annotations

import codecs
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..core.errors import ContractError, InputError
from ..core.log import log
from ..core.recipe import Recipe
from ..core.run import Run
from ..core.settings_training import Sampling
from ..model.generation import check_settings, generate
from ..model.transformer import Transformer
from ..tokenize.bpe import SPECIAL_TOKENS, Tokenizer
from ..tokenize.chat_template import ChatTemplate
from ..tokenize.chat_templates import CHATML, Description, end_of_answer, make_template
from ..tokenize.given import GivenTokenizer, given_beside
from ..train.checkpoints import load_for_inference, newest
from ..train.model_folder import ModelFolder
from ..train.reward import RewardModel
from .answering import answering_stage, learned_template

Message = dict[str, str]


@dataclass(frozen=True)
class Options:
    """How tokens are drawn: the recipe's `sampling`, and a seed."""

    max_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int

    def __post_init__(self) -> None:
        check_settings(self.max_tokens, self.temperature, self.top_k, self.top_p)

    @classmethod
    def of(cls, recipe: Recipe | None, **overrides: Any) -> Options:
        """The recipe's settings, and its seed; an override that is None leaves the recipe's. Without a recipe, as an
        imported model is, the defaults."""
        given = {name: value for name, value in overrides.items() if value is not None}
        names = [item.name for item in fields(cls) if item.name != "seed"]
        sampling, seed = (recipe.sampling, recipe.seed) if recipe else (Sampling(), 0)
        base = cls(seed=seed, **{name: getattr(sampling, name) for name in names})
        return replace(base, **given)


class TextStream:
    """Iterates over pieces of text while the model writes them; afterwards `text`, `tokens` and `seconds` are known.

    A token may end within a character: its bytes wait for the rest. Bytes that are no UTF-8 become U+FFFD.
    """

    def __init__(self, ids: Iterator[int], tokenizer: Tokenizer) -> None:
        self._ids, self._tokenizer = ids, tokenizer
        self.text = ""
        self.tokens = 0
        self.seconds = 0.0

    def __iter__(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        began = time.perf_counter()
        for token in self._ids:
            self.tokens += 1
            self.seconds = time.perf_counter() - began
            yield from self._piece(decoder.decode(self._tokenizer.decode_bytes([token])))
        yield from self._piece(decoder.decode(b"", final=True))

    def _piece(self, text: str) -> Iterator[str]:
        if text:
            self.text += text
            yield text

    def read(self) -> TextStream:
        """Let the model write to the end."""
        for _ in self:
            pass
        return self


class ChatSession:
    """Model and tokenizer. It keeps no conversation: `answer` gets all messages.

    `given`: what the files beside a tokenizer from elsewhere say of it; `source`: where an imported model is from."""

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        template: Description | None = None,
        given: GivenTokenizer | None = None,
        source: Mapping[str, str] | None = None,
    ) -> None:
        """`template`: a description of the chat template (tokenize/chat_templates.py); None: that of `given`, or our
        own."""
        self.model, self.tokenizer, self.given, self.source = model, tokenizer, given, source or {}
        own = given.template if given and template is None else make_template(template, tokenizer)
        self.template: ChatTemplate | None = own
        self._description = template
        self.end = tokenizer.end_of_text if own is None else end_of_answer(own)
        stops = given.stop_ids if given else {tokenizer.special(name) for name in SPECIAL_TOKENS}
        self.stop_ids = frozenset([*stops, self.end])

    @classmethod
    def open(cls, run: Run | Path, stage: str | None = None) -> ChatSession:
        """Model and tokenizer of the stage `align`, `finetune` or `pretrain` (None: of that which answers), or of an
        imported model's folder.

        Raises InputError when there is no checkpoint yet, or a reward model's, ContractError when it was trained with
        another tokenizer.
        """
        if isinstance(run, Path):
            found = ModelFolder.open(run)
            return cls(found.load(), found.given.tokenizer, None, found.given, found.source)
        stage = stage or answering_stage(run)
        if stage != "pretrain" and not run.recipe.finetuned:
            raise InputError(
                f"{run.folder} has no fine-tuned model: its recipe has instructions: null, and no finetune.data",
                f"take the base model: crawl2chat generate --run {run.folder} TEXT; export and serve: --stage pretrain",
            )
        path = run.stage("tokenizer") / "tokenizer.json"
        tokenizer = Tokenizer.load(path)
        checkpoint = _checkpoint(run, stage)
        model, meta = load_for_inference(checkpoint)
        if meta["tokenizer_digest"] != tokenizer.digest:
            raise ContractError(
                f"{checkpoint} was trained with the tokenizer {meta['tokenizer_digest'][:16]}, "
                f"{path} is {tokenizer.digest[:16]}",
                f"bring the run up to date: crawl2chat run --run {run.folder}",
            )
        if isinstance(model, RewardModel):
            raise InputError(
                f"{checkpoint} is a reward model, which writes nothing", "name the stage that it began at: finetune"
            )
        template = learned_template(run, stage, tokenizer)
        return cls(model, tokenizer, template, given_beside(path.parent, tokenizer))

    @property
    def exported_template(self) -> dict[str, Any]:
        """What of transformers' tokenizer_config.json is not that of our own template."""
        description = self._description or {"kind": "house"}
        if description["kind"] == "house":
            return {}
        source = CHATML if description["kind"] == "chatml" else description["source"]
        names = {number: name for name, number in self.tokenizer.special_tokens.items()}
        return {"chat_template": source} | ({"eos_token": names[self.end]} if self.end in names else {})

    @property
    def context(self) -> int:
        return self.model.config.context

    def continue_text(self, prompt: str, options: Options) -> TextStream:
        """What follows the prompt in a document that begins with it, up to the document's end."""
        return self._write(self.begin(prompt), options)

    def answer(self, messages: Sequence[Message], options: Options) -> TextStream:
        """The assistant's answer to the last message, up to its <|end|>.

        The oldest turns are left out (see `fit`). Raises InputError when the last question alone is too long.
        """
        return self._write(self.encode(self.fit(messages, options)), options)

    def fit(self, messages: Sequence[Message], options: Options) -> list[Message]:
        """The newest turns that leave room for an answer, max_tokens or half the context; the last always stays, and
        the system's message before them all."""
        room = min(options.max_tokens, self.context // 2)
        system = [one for one in messages[:1] if one["role"] == "system"]
        turns = messages[len(system) :]

        def after(pairs: int) -> list[Message]:
            return [*system, *turns[2 * pairs :]]

        def fits(pairs: int) -> bool:
            return len(self.encode(after(pairs))) <= self.context - room

        most = (len(turns) - 1) // 2
        kept = after(0 if most < 1 or fits(0) else bisect_left(range(most), True, lo=1, key=fits))
        length = len(self.encode(kept))
        if length > self.context:
            raise InputError(
                f"the question has {length} tokens, the model's context {self.context}", "ask a shorter question"
            )
        return kept

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt for an answer to the last message. Raises InputError naming a message that is out of turn."""
        valid = [{"role": one["role"], "content": _valid(one["content"])} for one in messages]
        if self.template is None:
            raise InputError("the model has no chat template", "continue a text with it: crawl2chat generate")
        return self.template.encode(valid, generation_prompt=True)[0]

    def begin(self, prompt: str) -> list[int]:
        """The prompt for a text that goes on: it begins a document."""
        return [self.tokenizer.end_of_text, *self.tokenizer.encode(_valid(prompt))]

    def _write(self, ids: list[int], options: Options) -> TextStream:
        drawn = generate(
            self.model,
            ids,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            stop_ids=self.stop_ids,
            seed=options.seed,
        )
        return TextStream(drawn, self.tokenizer)


def _checkpoint(run: Run, stage: str) -> Path:
    """The checkpoint that the finished stage names; of an unfinished one the newest, with a warning."""
    folder = run.stage(stage)
    manifest = run.manifest(stage)
    if manifest is not None:
        return folder / manifest.facts["checkpoint"]
    path = newest(folder / "checkpoints")
    if path is None:
        raise InputError(f"{folder} holds no checkpoint yet", f"train first: crawl2chat run --run {run.folder}")
    log.warning("stage %s is not finished: using its checkpoint %s", stage, path.name)
    return path


def _valid(text: str) -> str:
    """Text without lone surrogates, which undecodable bytes of a terminal or a pipe become: they are no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
