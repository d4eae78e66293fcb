from __future__ import annotations

import pickle
import re

import pytest
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.train.arithmetic import Arithmetic, number_in, problem


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("Ann has 4 + 5 = 9 apples.", 9),
        ("4 + 5 = 9\n#### 9", 9),
        ("#### 12 or 13", 12),
        ("first #### 1, then\n#### 1,234", 1234),
        ("9.0", 9),
        ("It is -3.", -3),
        ("nine", None),
        ("4 apples ####", None),
        ("", None),
    ],
)
def test_what_an_answer_comes_to(text: str, number: int | None) -> None:
    assert number_in(text) == number


def test_problems_are_right_by_seed_and_never_go_below_zero() -> None:
    for steps in (1, 3):
        for number in range(200):
            one = problem(5, number, steps, 20)
            assert one == problem(5, number, steps, 20)
            have = int(re.search(r"has (\d+)", one.question)[1])  # type: ignore[index]
            for verb, some in re.findall(r"(buys|gives away) (\d+)", one.question):
                have += int(some) if verb == "buys" else -int(some)
                assert have >= 0
            assert have == one.answer and one.question.count(".") == steps + 1
    assert len({problem(5, number, 2, 20).question for number in range(200)}) > 190
    assert problem(5, 0, 1, 9) != problem(6, 0, 1, 9)


def test_the_reward_is_the_exact_number(chatting: Tokenizer) -> None:
    task = pickle.loads(pickle.dumps(Arithmetic(chatting, {"kind": "chatml"}, chatting.special("<|im_end|>"), seed=3)))
    right = problem(3, 7, 1, 9).answer
    for text, reward in ((f"It is {right}", 1.0), (f"It is {right}1", 0.0), ("It is", 0.0), (f"{right}.0", 1.0)):
        assert task.reward(7, chatting.encode(text)) == reward
    prompt = task.prompt(7)
    assert prompt[0] == chatting.special("<|im_start|>") and "How many" in chatting.decode(prompt)
