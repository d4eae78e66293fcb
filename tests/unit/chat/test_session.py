"""Opening trained models, streaming text, fitting conversations into the context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from crawl2chat.chat.session import ChatSession, Options, TextStream
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.files import write_json
from crawl2chat.core.run import Run
from crawl2chat.tokenize.bpe import Tokenizer

TEXT = "The history of cafés in 漢字 is short. 🙂 Nobody wrote it."  # what the models have learned: conftest.py
QUESTION = "What is an acid?"
ANSWER = "An acid is sour; “très” sour, 漢字 and 🙂."
ASKED = [{"role": "user", "content": QUESTION}]
TURN = [*ASKED, {"role": "assistant", "content": ANSWER}]


def test_base_model_continues_its_text_to_the_end(run: Run) -> None:
    stream = ChatSession.open(run, "pretrain").continue_text("The history of", Options.of(run.recipe))
    pieces = list(stream)
    assert "The history of" + "".join(pieces) == TEXT == "The history of" + stream.text
    assert len(pieces) > 5
    assert not any("\ufffd" in piece for piece in pieces)  # though 漢字 and 🙂 are several tokens each
    assert len(pieces) < stream.tokens < 60  # the text ended before max_tokens
    assert stream.seconds > 0


def test_tuned_model_answers(run: Run) -> None:
    session = ChatSession.open(run)
    assert session.answer(ASKED, Options.of(run.recipe)).read().text == ANSWER
    warm = Options.of(run.recipe, temperature=0.5, seed=3)
    assert session.answer(ASKED, warm).read().text == session.answer(ASKED, warm).read().text


def test_bytes_that_are_no_character_are_shown_as_such(run: Run) -> None:
    tokenizer = ChatSession.open(run).tokenizer
    cut = tokenizer.encode("é")[:1] + tokenizer.encode("a🙂")[:-1]
    assert list(TextStream(iter(cut), tokenizer)) == ["\ufffda", "\ufffd"]


def test_a_lone_surrogate_does_no_harm(run: Run) -> None:
    """What Python makes of a byte that is no UTF-8 in an argument or a pipe."""
    session = ChatSession.open(run, "pretrain")
    assert session.continue_text("caf\udce9", Options.of(run.recipe, max_tokens=3)).read().tokens == 3


def test_oldest_turns_make_room(run: Run) -> None:
    session = ChatSession.open(run)
    options = Options.of(run.recipe)  # max_tokens 60 of a context of 128
    assert session.fit(ASKED, options) == ASKED
    fitted = session.fit([*TURN * 6, *ASKED], options)
    assert fitted == [*TURN * (len(fitted) // 2), *ASKED]
    assert len(session.encode(fitted)) <= 128 - 60
    assert len(session.encode([*TURN, *fitted])) > 128 - 60
    assert session.answer([*TURN * 6, *ASKED], options).read().tokens > 0


def test_thousands_of_turns_are_encoded_some_times_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    session, encoded = ChatSession.open(run), []
    encode = ChatSession.encode
    monkeypatch.setattr(ChatSession, "encode", lambda self, given: encoded.append(len(given)) or encode(self, given))
    options = Options.of(run.recipe)
    short = session.fit([*TURN * 6, *ASKED], options)
    tiny = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    system = [{"role": "system", "content": "Be short."}]
    encoded.clear()
    assert session.fit([*tiny * 1990, *TURN * 6, *ASKED], options) == short
    assert len(encoded) <= 15
    kept = session.fit([*system, *tiny * 2000, *ASKED], options)
    assert kept[0] == system[0] and len(session.encode(kept)) <= 128 - 60 < len(
        session.encode([*system, *tiny, *kept[1:]])
    )
    with pytest.raises(InputError, match="message 2 is the user's"):
        session.fit([*ASKED, *tiny * 100, *ASKED], options)


def test_a_question_longer_than_the_context_is_refused(run: Run) -> None:
    session = ChatSession.open(run)
    with pytest.raises(InputError, match=r"the question has \d+ tokens, the model's context 128"):
        session.answer([{"role": "user", "content": "What? " * 100}], Options.of(run.recipe))


def test_options_are_the_recipes_where_not_given(run: Run) -> None:
    of_recipe = Options.of(run.recipe)
    assert of_recipe == Options(max_tokens=60, temperature=0, top_k=None, top_p=0.95, seed=17)
    assert Options.of(run.recipe, top_k=5, seed=0, max_tokens=None) == replace(of_recipe, top_k=5, seed=0)
    with pytest.raises(InputError, match="temperature is -1"):
        Options.of(run.recipe, temperature=-1.0)


def test_another_tokenizer_is_refused(run: Run) -> None:
    path = run.stage("tokenizer") / "tokenizer.json"
    ours = Tokenizer.load(path).digest
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ContractError) as error:
        ChatSession.open(run)
    assert ours[:16] in error.value.message and Tokenizer.load(path).digest[:16] in error.value.message


def test_missing_stages_say_what_to_do(run: Run, reopened: Callable[..., Run]) -> None:
    with pytest.raises(InputError, match="instructions: null"):
        ChatSession.open(reopened("instructions=null"))
    (run.stage("finetune") / "manifest.json").unlink()
    (run.stage("finetune") / "checkpoints").rename(run.folder / "elsewhere")
    with pytest.raises(InputError, match="finetune holds no checkpoint yet"):
        ChatSession.open(run)
    (run.stage("tokenizer") / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no tokenizer at"):
        ChatSession.open(run)


def test_an_unfinished_stage_gives_its_newest_checkpoint(run: Run) -> None:
    (run.stage("finetune") / "manifest.json").unlink()
    assert ChatSession.open(run).answer(ASKED, Options.of(run.recipe)).read().text == ANSWER


def test_a_checkpoint_with_other_fields_is_refused(run: Run) -> None:
    import json

    meta = run.stage("finetune") / "checkpoints" / "step_000003" / "meta.json"
    raw = json.loads(meta.read_text(encoding="utf-8"))
    write_json(meta, raw | {"model": raw["model"] | {"experts": 8}})
    with pytest.raises(ContractError, match="experts is missing or unknown"):
        ChatSession.open(run)
