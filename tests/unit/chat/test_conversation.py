"""A conversation: what it keeps of its turns, and what another answer does to them."""

from __future__ import annotations

import pytest
from crawl2chat.chat.conversation import Conversation
from crawl2chat.chat.session import ChatSession, Options, TextStream
from crawl2chat.core.errors import InputError
from crawl2chat.core.run import Run

from .conftest import ANSWER, QUESTION


def talk(run: Run, **options) -> Conversation:
    return Conversation(ChatSession.open(run), Options.of(run.recipe, **options))


def test_turns_are_kept_and_forgotten(run: Run) -> None:
    conversation = talk(run)
    assert conversation.ask(QUESTION, TextStream.read).text == ANSWER
    assert [one["role"] for one in conversation.turns] == ["user", "assistant"]
    assert conversation.turns[1]["content"] == ANSWER
    conversation.reset()
    assert conversation.turns == []


def test_another_answer_takes_the_place_of_the_last(run: Run) -> None:
    conversation = talk(run, temperature=3.0, top_p=1.0, max_tokens=12)
    said = [conversation.ask(QUESTION, TextStream.read).text]
    said += [conversation.ask_again(TextStream.read).text for _ in range(3)]
    assert len(conversation.turns) == 2
    assert conversation.turns[1]["content"] == said[-1]
    assert len(set(said)) == 4
    again = talk(run, temperature=3.0, top_p=1.0, max_tokens=12)
    assert [again.ask(QUESTION, TextStream.read).text, again.ask_again(TextStream.read).text] == said[:2]


def test_an_answer_that_is_stopped_changes_nothing(run: Run) -> None:
    conversation = talk(run)
    conversation.ask(QUESTION, TextStream.read)
    before = list(conversation.turns)

    def stop(stream: TextStream) -> None:
        raise KeyboardInterrupt

    for ask in (lambda: conversation.ask("Why?", stop), lambda: conversation.ask_again(stop)):
        with pytest.raises(KeyboardInterrupt):
            ask()
        assert conversation.turns == before


def test_nothing_to_answer_again(run: Run) -> None:
    with pytest.raises(InputError, match="nothing has been answered"):
        talk(run).ask_again(TextStream.read)


def test_the_system_prompt_stays_when_turns_go(run: Run) -> None:
    conversation = talk(run, max_tokens=10)
    conversation.system = "Be short."
    for _ in range(8):
        conversation.ask(QUESTION, TextStream.read)
    assert len(conversation.turns) < 16
    assert all(one["role"] != "system" for one in conversation.turns)
    ids = conversation.session.encode([{"role": "system", "content": "Be short."}, {"role": "user", "content": "x"}])
    assert "Be short." in conversation.session.tokenizer.decode(ids)
