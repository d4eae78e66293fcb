"""Which model answers, and in which chat template."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from crawl2chat.chat.answering import answering_stage, last_stage
from crawl2chat.chat.session import ChatSession, Options
from crawl2chat.core.errors import InputError
from crawl2chat.core.run import Run
from crawl2chat.tokenize.hf_files import CHAT_TEMPLATE

ASKED = [{"role": "user", "content": "What is an acid?"}]  # what the models have learned: conftest.py
ANSWER = "An acid is sour; “très” sour, 漢字 and 🙂."
ALIGN = "align={data: {from_instructions: true}}"


def test_the_aligned_model_answers_where_there_is_one(run: Run, reopened: Callable[..., Run]) -> None:
    aligned = reopened(ALIGN)
    assert answering_stage(aligned) == "finetune", "it has not begun"
    shutil.copytree(run.stage("finetune"), run.stage("align"))
    assert answering_stage(aligned) == "align" and answering_stage(run) == "finetune"
    assert answering_stage(reopened("align={method: reward, data: {from_instructions: true}}")) == "finetune"
    shutil.rmtree(run.stage("finetune") / "checkpoints")
    assert ChatSession.open(aligned).answer(ASKED, Options.of(aligned.recipe)).read().text == ANSWER
    (run.stage("align") / "manifest.json").unlink()
    assert answering_stage(aligned) == "align", "its checkpoint is there"
    shutil.rmtree(run.stage("align"))
    with pytest.raises(InputError, match="no such file|holds no checkpoint|meta.json"):
        ChatSession.open(aligned)


def test_the_last_stage_is_one_that_the_run_has(run: Run, reopened: Callable[..., Run]) -> None:
    assert last_stage(run) == last_stage(reopened(ALIGN)) == "finetune"
    assert last_stage(reopened("instructions=null")) == "pretrain"
    shutil.copytree(run.stage("finetune"), run.stage("align"))
    assert last_stage(reopened(ALIGN)) == "align"
    assert last_stage(reopened("align={method: reward, data: {from_instructions: true}}")) == "finetune"
    shutil.rmtree(run.stage("finetune"))
    assert last_stage(reopened(ALIGN)) == "align"
    shutil.rmtree(run.stage("align"))
    assert last_stage(reopened(ALIGN)) == last_stage(run) == "pretrain"


def test_it_speaks_the_template_that_it_learned(run: Run) -> None:
    path = run.stage("finetune") / "manifest.json"
    assert ChatSession.open(run).exported_template == {}
    manifest = json.loads(path.read_text())
    manifest["facts"]["template"] = {"kind": "jinja", "source": CHAT_TEMPLATE, "variables": {}}
    path.write_text(json.dumps(manifest))
    session = ChatSession.open(run)
    assert session.end == session.tokenizer.special("<|end|>")
    assert session.answer(ASKED, Options.of(run.recipe)).read().text == ANSWER
    assert session.exported_template == {"chat_template": CHAT_TEMPLATE, "eos_token": "<|end|>"}
    manifest["facts"]["template"] = {"kind": "chatml"}
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="no special token <.im_start.>"):
        ChatSession.open(run)


def test_a_system_turn_goes_before_the_first_question(run: Run) -> None:
    session = ChatSession.open(run)
    system = [{"role": "system", "content": "Be short."}, *ASKED]
    joined = [{"role": "user", "content": f"Be short.\n\n{ASKED[0]['content']}"}]
    assert session.encode(system) == session.encode(joined)
