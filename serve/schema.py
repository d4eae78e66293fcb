"""The bodies that the server takes: OpenAI's chat completions and completions, without what a model of ours cannot do.

Parameters of OpenAI's that are not supported are taken with the value that changes nothing, and refused by name with
another. Unknown ones are refused. Two are our own: `top_k`, and `truncation: "auto"`, which leaves out the oldest turns
of a conversation that is longer than the context (else it is refused).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .bodies import Unsupported

# Values that change nothing; null never does.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "presence_penalty": (0,), "frequency_penalty": (0,),
    "logit_bias": ({},), "tools": ([],), "functions": ([],), "tool_choice": ("none", "auto"), "audio": (),
    "function_call": ("none", "auto"), "parallel_tool_calls": (True, False), "prediction": (), "store": (False,),
    "response_format": ({"type": "text"},), "modalities": (["text"],), "reasoning_effort": ("none",), "moderation": (),
    "verbosity": ("medium",), "web_search_options": (),
}  # fmt: skip
IGNORED = {"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
Stops = Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=4)]


def _joined(content: Any) -> Any:
    """Text given in parts, as one text."""
    if not isinstance(content, list):
        return content
    texts = [one.get("text") if isinstance(one, dict) and one.get("type") == "text" else None for one in content]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError('a part is no text: only {"type": "text", "text": "…"} is supported')
    return "".join(str(text) for text in texts)


class Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]
    name: str | None = None
    refusal: None = None
    annotations: list[Any] | None = None
    audio: None = None
    tool_calls: None = None
    function_call: None = None

    def plain(self) -> dict[str, str]:
        return {"role": "system" if self.role == "developer" else self.role, "content": self.content}


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


def _listed(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class Common(BaseModel):
    """What both kinds share. A parameter that is null counts as not given."""

    model_config = ConfigDict(strict=True, extra="forbid")
    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Annotated[Stops | None, BeforeValidator(_listed)] = None

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        for param, values in NEUTRAL.items():
            given = raw.get(param)
            if param not in cls.model_fields and given is not None and not any(_same(given, one) for one in values):
                takes = f"leave it out or give {values[0]!r}" if values else "leave it out"
                raise Unsupported(param, f"{param} is not supported here: {takes}")
        dropped = (NEUTRAL.keys() | IGNORED) - cls.model_fields.keys()
        return {name: value for name, value in raw.items() if name not in dropped and value is not None}

    @property
    def most_tokens(self) -> int | None:
        """The most new tokens that are wanted."""
        return self.max_tokens

    @property
    def likeliest(self) -> int | None:
        """Of how many tokens log-probabilities are wanted, beside the chosen one; None: of none, nor of that one."""
        return None

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatBody(Common):
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    truncation: Literal["auto", "disabled"] = "disabled"

    @model_validator(mode="after")
    def _fits(self) -> ChatBody:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def likeliest(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionBody(Common):
    prompt: str | list[int] | list[str] = Field(default="")
    logprobs: int | None = Field(default=None, ge=0, le=5)

    @model_validator(mode="after")
    def _one(self) -> CompletionBody:
        if isinstance(self.prompt, list) and any(isinstance(one, str) for one in self.prompt) and len(self.prompt) > 1:
            raise ValueError(f"{len(self.prompt)} prompts in one request: send a request for each")
        return self

    @property
    def likeliest(self) -> int | None:
        return self.logprobs


def _same(given: Any, value: Any) -> bool:
    """Equal, and of the same kind: true is not 1."""
    return given == value and isinstance(given, bool) == isinstance(value, bool)
