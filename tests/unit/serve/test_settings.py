"""What a run, or a folder, brings to the server."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
from crawl2chat.core.run import Run
from crawl2chat.serve.settings import SAMPLING, Source

from .conftest import QUESTION


def test_names() -> None:
    assert Source(run="/x/runs/tiny").name == "tiny"
    assert Source(folder="/x/models/other/").name == "other"


def test_a_run_brings_its_sampling_and_its_questions(trained: Path) -> None:
    session, sampling, questions = Source(run=str(trained)).open()
    assert sampling == {"temperature": 0, "top_k": None, "top_p": 0.95}
    assert list(questions) == [QUESTION]
    assert session.context == 128
    assert list(Source(run=str(trained), stage="pretrain").open()[2]) == [], "the base model has learned no answers"


def test_the_last_model_that_there_is(trained: Path, tmp_path: Path) -> None:
    """A run that has got as far as its base model is served with that."""
    folder = Path(shutil.copytree(trained, tmp_path / "small"))
    run = Run.open(folder)
    tuned, _, _ = Source(run=str(folder)).open()
    shutil.rmtree(run.stage("finetune"))
    base, _, questions = Source(run=str(folder)).open()
    assert not questions
    assert not all(map(_same, tuned.model.parameters(), base.model.parameters()))


def _same(one, other) -> bool:
    return one.equal(other)


def test_the_page_is_told(address: str) -> None:
    [model] = httpx.get(f"{address}/v1/models").json()["data"]
    assert model["sampling"] == SAMPLING and model["questions"] == []
