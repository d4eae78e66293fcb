"""`crawl2chat generate`: continue a text, on standard output, as it is written."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core.log import log
from ..core.run import Run
from .session import ChatSession, Options

# A terminal obeys control characters, and a model that has read the web may write them: shown as U+FFFD.
CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], "\ufffd")


def run_generate(run: Run | Path, prompt: str, *, stage: str = "pretrain", **options: Any) -> int:
    """Print the prompt and its continuation by the base model, or by an imported one. `options`: the fields of
    session.Options."""
    session = ChatSession.open(run, stage)
    recipe = None if isinstance(run, Path) else run.recipe
    stream = session.continue_text(prompt, Options.of(recipe, **options))
    show([prompt])
    show(stream)
    show(["\n"])
    log.info("%d tokens, %.0f tokens/s", stream.tokens, stream.tokens / max(stream.seconds, 1e-9))
    return 0


def show(pieces: Iterable[str]) -> None:
    """Write pieces of text as they come, readable whatever they hold."""
    encoding = sys.stdout.encoding or "utf-8"
    for piece in pieces:
        sys.stdout.write(piece.translate(CONTROLS).encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
