"""A worker that extracts has spaCy, and not torch; whoever asks later gets torch."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from crawl2chat.pipelines.light_import import without_torch
with without_torch():
    import crawl2chat.pipelines.refine
assert "spacy" in sys.modules and "torch" not in sys.modules
import torch
assert torch.ones(2).sum() == 2
with without_torch():
    assert sys.modules["torch"] is torch
"""


def test_spacy_comes_without_torch() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
