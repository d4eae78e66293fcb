"""Our checkpoints as a model of lm-evaluation-harness, for tasks that are not among ours. Extra `eval`.

    import crawl2chat.evaluate.harness
    lm_eval.simple_evaluate("crawl2chat", model_args="run=runs/tiny,stage=pretrain", tasks=["piqa"])
    lm_eval.simple_evaluate("crawl2chat", model_args="folder=tiny-hf", tasks=["piqa"])

What the harness asks is answered by the engine of this folder: likelihood.py, writing.py. Its interface:
lm_eval/api/model.py of release 0.4.13; where it leaves something open, `HFLM` decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..core.errors import InputError
from ..core.files import digest
from ..core.remote_path import path_of
from ..core.run import Run
from ..model.generation import generate
from ..model.transformer import Transformer
from .answers import MAX_TOKENS as ANSWER_TOKENS
from .likelihood import MAX_TOKENS, log_likelihoods
from .models import model_in, open_model, trained_model
from .requests import Request, encode_pairs
from .text_tokenizer import ModelTokenizer, TextTokenizer
from .writing import write_answers

try:
    import lm_eval.models  # noqa: F401  (its own models are registered before ours)
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
    from lm_eval.models.utils import normalize_gen_kwargs
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ImportError as missing:
    raise InputError(f"lm-evaluation-harness is not installed: {missing}", "install crawl2chat[eval]") from missing

PORTION = 2048  # requests that may share prefixes


@register_model("crawl2chat")
class CheckpointLM(LM):
    """A model of a run (`run`, `stage`) or of a folder that `crawl2chat import` or `export` wrote (`folder`)."""

    def __init__(
        self,
        run: str | None = None,
        stage: str = "pretrain",
        folder: str | None = None,
        batch_tokens: int = MAX_TOKENS,
        **others: Any,  # batch_size, device, …: of the harness, and not needed here
    ) -> None:
        """Raises InputError unless one of run and folder is given, and holds a model."""
        super().__init__()
        if (run is None) == (folder is None):
            raise InputError("give run or folder, one of the two", "for example run=runs/tiny,stage=finetune")
        if run is not None:
            opened = Run.open(run)
            files = trained_model(opened, stage, opened.need(stage))
        else:
            files = model_in(path_of(str(folder)))
        self._set(*open_model(files), int(batch_tokens))

    @classmethod
    def of(cls, model: Transformer, tokenizer: TextTokenizer, batch_tokens: int = MAX_TOKENS) -> CheckpointLM:
        """For a model that is in memory already."""
        made = cls.__new__(cls)
        LM.__init__(made)
        made._set(model, tokenizer, batch_tokens)
        return made

    def _set(self, model: Transformer, tokenizer: TextTokenizer, batch_tokens: int) -> None:
        self.model, self.text_tokenizer, self.batch_tokens = model.eval(), tokenizer, batch_tokens

    @property
    def max_length(self) -> int:
        return self.model.config.context

    @property
    def tokenizer_name(self) -> str:
        """What requests that the harness keeps depend on: the vocabulary, and the chat template."""
        return f"crawl2chat_{digest([self.text_tokenizer.digest, self.chat_template()])[:16]}"

    def chat_template(self, chat_template: bool | str = False) -> str:
        """What the harness writes down of the template; empty where the model has none."""
        template = self.text_tokenizer.template if isinstance(self.text_tokenizer, ModelTokenizer) else None
        return "" if template is None else str(template.get("source", template["kind"]))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as text, its special tokens spelled out. Raises InputError for a model without a template."""
        if not isinstance(self.text_tokenizer, ModelTokenizer):
            raise InputError("this tokenizer knows no chat template", "open it as a ModelTokenizer, with its template")
        return self.text_tokenizer.chat(chat_history, add_generation_prompt)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation in nats, and whether it is the greedy one."""
        found: list[tuple[float, bool]] = []
        for portion in _portions(requests):
            asked = encode_pairs(self.text_tokenizer, [_pair(one) for one in portion], self.max_length)
            found += self._scored("loglikelihood", portion, asked)
        return found

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Log-likelihood of each whole text, in windows of the model's context that do not overlap."""
        found = []
        for one in requests:
            ids = self.text_tokenizer.encode(str(_arguments(one)[0]))
            windows = get_rolling_token_windows(ids, self.text_tokenizer.prefix_id, self.max_length, 1)
            asked = [_window(*make_disjoint_window(window)) for window in windows]
            total = sum(part.log_likelihood for part in log_likelihoods(self.model, asked, self.batch_tokens))
            self.cache_hook.add_partial("loglikelihood_rolling", one.args, total)
            found.append(total)
        return found

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """A continuation of each context up to one of its stop strings, which is cut off."""
        groups: dict[str, list[int]] = {}
        for number, one in enumerate(requests):
            groups.setdefault(json.dumps(_arguments(one)[1], sort_keys=True, default=str), []).append(number)
        found = [""] * len(requests)
        for numbers in groups.values():
            settings = _arguments(requests[numbers[0]])[1]
            texts = self._written([str(_arguments(requests[number])[0]) for number in numbers], settings)
            for number, text in zip(numbers, texts, strict=True):
                found[number] = text
                self.cache_hook.add_partial("generate_until", requests[number].args, text)
        return found

    def _scored(self, kind: str, requests: Sequence[Instance], asked: Sequence[Request]) -> list[tuple[float, bool]]:
        found = log_likelihoods(self.model, asked, self.batch_tokens)
        answers = [(one.log_likelihood, one.greedy) for one in found]
        for one, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, one.args, answer)
        return answers

    def _written(self, prompts: Sequence[str], given: dict[str, Any]) -> list[str]:
        settings: dict[str, Any] = dict(normalize_gen_kwargs(given, ANSWER_TOKENS))
        until, length = settings.get("until") or [], int(settings["max_gen_toks"])
        until = [until] if isinstance(until, str) else list(until)
        if not settings.get("do_sample"):
            return write_answers(self.model, self.text_tokenizer, prompts, length, until)
        return [self._drawn(prompt, length, until, settings, seed) for seed, prompt in enumerate(prompts)]

    def _drawn(self, prompt: str, length: int, until: Sequence[str], settings: dict[str, Any], seed: int) -> str:
        """One text by sampling, without a batch."""
        tokenizer, room = self.text_tokenizer, max(1, min(length, self.max_length // 2))
        ids = (tokenizer.encode(prompt) or [tokenizer.prefix_id])[-(self.max_length - room) :]
        drawing = {name: settings[name] for name in ("temperature", "top_k", "top_p") if settings.get(name) is not None}
        written: list[int] = []
        for token in generate(self.model, ids, max_tokens=room, stop_ids=tokenizer.stop_ids, seed=seed, **drawing):
            written.append(token)
            if any(stop in tokenizer.decode(written) for stop in until if stop):
                break
        text = tokenizer.decode(written)
        for stop in until:
            text = text.split(stop)[0] if stop else text
        return text


def _portions(requests: Sequence[Instance]) -> Iterator[Sequence[Instance]]:
    return (requests[begin : begin + PORTION] for begin in range(0, len(requests), PORTION))


def _arguments(request: Instance) -> tuple[Any, ...]:
    return tuple(request.args)


def _pair(request: Instance) -> tuple[str, str]:
    context, continuation = _arguments(request)
    return str(context), str(continuation)


def _window(context: Sequence[int], targets: Sequence[int]) -> Request:
    return Request((*context, *targets[:-1]), tuple(targets), 0)
