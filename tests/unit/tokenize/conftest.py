"""Real texts in many languages, vocabularies trained on them, and the tokenizers library as the oracle."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer

LANGUAGES = (
    "eng",
    "deu",
    "rus",
    "arb",
    "heb",
    "hin",
    "tam",
    "tha",
    "jpn",
    "cmn_hans",
    "kor",
    "ell_monotonic",
    "vie",
)


@pytest.fixture(scope="session")
def declarations(shared_data: Path) -> dict[str, str]:
    """The Universal Declaration of Human Rights by language."""
    with zipfile.ZipFile(shared_data / "udhr2" / "udhr2.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".txt")}
        return {language: archive.read(names[language]).decode() for language in LANGUAGES if language in names}


@pytest.fixture(scope="session")
def web_texts(shared_data: Path) -> list[str]:
    data = gzip.decompress((shared_data / "web-text-samples" / "c4_demo_300.jsonl.gz").read_bytes())
    return [json.loads(line)["text"] for line in data.splitlines()]


@pytest.fixture(scope="session")
def trained(declarations: dict[str, str], web_texts: list[str]) -> Callable[..., Tokenizer]:
    """A tokenizer of 3,000 tokens with some settings; made once for each."""
    texts = [*declarations.values(), *web_texts]

    @cache
    def make(**settings: object) -> Tokenizer:
        return Tokenizer(train_tokenizer([texts], 3000, Settings.model_validate(settings)))

    return make
