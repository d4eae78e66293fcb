"""What is served, and within which limits. Plain values: they travel to the replica on Ray Serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..chat.answering import last_stage
from ..chat.session import ChatSession
from ..core.remote_path import path_of
from ..core.run import Run

# Of a model without a run, whose recipe would say.
SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": None, "top_p": 0.95}


@dataclass(frozen=True)
class Source:
    """A run's model, or that of a folder. `stage` of None: the last one that the run has and that writes."""

    run: str | None = None
    stage: str | None = None
    folder: str | None = None

    @property
    def name(self) -> str:
        """The model's name in requests."""
        return path_of(self.run or self.folder or "model").resolve().name

    def open(self) -> tuple[ChatSession, dict[str, Any], Sequence[str]]:
        """The model, how it is sampled where a request does not say, and questions that the page proposes.

        Raises InputError and ContractError.
        """
        if self.run is None:
            return ChatSession.open(path_of(self.folder or ".")), SAMPLING, ()
        run = Run.open(self.run)
        stage, sampling = self.stage or last_stage(run), run.recipe.sampling
        questions = () if stage == "pretrain" else sampling.questions
        return ChatSession.open(run, stage), {name: getattr(sampling, name) for name in SAMPLING}, questions


@dataclass(frozen=True)
class ServerSettings:
    slots: int = 8  # texts written at once
    queue: int = 64  # requests that wait beside them
    threads: int | None = None  # of the model; None: one
    max_body_bytes: int = 1 << 20
    body_seconds: float = 60  # in which a request's body must be there
    max_prompt_tokens: int | None = None  # None: the model's context
    max_tokens: int | None = None  # of an answer; None: what the context leaves
    key_digest: str | None = None  # SHA-256 of the API key in hexadecimal: the key itself travels nowhere
    hosts: tuple[str, ...] | None = None  # names by which the server may be called; None: any
