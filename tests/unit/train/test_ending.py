from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crawl2chat.model.generation import generate
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate
from crawl2chat.train import checkpoints
from crawl2chat.train.chat_examples import write_conversations
from crawl2chat.train.ending import count_ended, held_out_prompts
from crawl2chat.train.job import Job
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World


def test_prompts_end_where_the_answer_begins(tmp_path: Path, chatting: Tokenizer) -> None:
    rows = [f'{{"prompt": "{"q" * n}?", "response": "a{n}"}}\n' for n in range(1, 31)]
    (tmp_path / "c.jsonl").write_text("".join(rows))
    write_conversations([tmp_path / "c.jsonl"], tmp_path / "e.arrow", OwnTemplate(chatting))

    def prompt(n: int) -> list[int]:
        return OwnTemplate(chatting).encode([{"role": "user", "content": "q" * n + "?"}], generation_prompt=True)[0]

    assert held_out_prompts(tmp_path / "e.arrow", 99, 64) == [prompt(n) for n in range(1, 31)]
    chosen = held_out_prompts(tmp_path / "e.arrow", 3, 64)
    assert len(chosen) == 3 and (chosen[0], chosen[-1]) == (prompt(1), prompt(30))
    short = [prompt(n) for n in range(1, 31) if len(prompt(n)) < 12]
    assert 0 < len(short) < 30 and held_out_prompts(tmp_path / "e.arrow", 99, 12) == short
    assert held_out_prompts(tmp_path / "e.arrow", 5, 1) == []


def test_an_answer_ends_by_itself_or_at_the_limit_or_at_the_context(job: Job) -> None:
    run_training(replace(job, plan=replace(job.plan, steps=2)), World())
    path = job.checkpoints / "step_000002"
    model, _ = checkpoints.load_for_inference(path)
    prompts = [[5, 7], [30], [2, 3, 4, 5]]
    answers = [list(generate(model, prompt, max_tokens=99, temperature=0)) for prompt in prompts]
    assert [len(one) for one in answers] == [15, 16, 13], "up to the end of the context"
    for end in {token for one in answers for token in one}:
        for limit in (1, 3, 99):
            expected = sum(end in one[:limit] for one in answers)
            assert count_ended(path, prompts, end, limit) == expected, (end, limit)
    drawing = {"temperature": 1.5, "top_p": 0.9}
    drawn = [list(generate(model, prompt, max_tokens=99, seed=3 + n, **drawing)) for n, prompt in enumerate(prompts)]
    assert drawn != answers
    for end in {token for one in drawn for token in one}:
        assert count_ended(path, prompts, end, 99, **drawing, seed=3) == sum(end in one for one in drawn), end
    never = next(token for token in range(97) if not any(token in one for one in answers))
    assert count_ended(path, prompts, never, 99) == 0
