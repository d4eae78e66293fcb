"""From a row of a data set to an item, in the words of lm-evaluation-harness 0.4.13 (`doc_to_text`, `doc_to_choice`).

Each function names the harness's task file that it follows. What looks odd is the harness's: scores are comparable only
between prompts that are equal to the character.
"""

from __future__ import annotations

import re

from .items import Item, Row

LETTERS = ("A", "B", "C", "D", "E")


def mmlu(row: Row) -> Item:
    """mmlu/default/_default_template_yaml."""
    choices = row.texts("choices")
    if len(choices) != 4:
        raise row.wrong(f"`choices` are {len(choices)}", "give four")
    asked = "\n".join([row.text("question").strip(), *_lettered(choices), "Answer:"])
    return row.item(asked, LETTERS[:4], row.number("answer", 4), subject=row.text("subject"))


def hellaswag(row: Row) -> Item:
    """hellaswag/hellaswag.yaml and its utils.py."""
    endings = row.texts("endings")
    begun = f"{row.text('ctx_a', empty=True)} {row.text('ctx_b', empty=True).capitalize()}"
    asked = _without_brackets(f"{row.text('activity_label')}: {begun}")
    return row.item(asked, [_without_brackets(one) for one in endings], row.number("label", len(endings)))


def arc(row: Row) -> Item:
    """arc/arc_easy.yaml, arc/arc_challenge.yaml; rows of Hugging Face's data set, or of llm-foundry's (`query`)."""
    if "query" in row:
        choices = row.texts("choices")
        return row.item(f"{row.text('query')}\nAnswer:", choices, row.number("gold", len(choices)))
    return _labelled(row, f"Question: {row.text('question')}\nAnswer:")


def openbookqa(row: Row) -> Item:
    """openbookqa/openbookqa.yaml."""
    return _labelled(row, row.text("question_stem"))


def commonsense_qa(row: Row) -> Item:
    """commonsense_qa/default.yaml: the letters are scored, as in MMLU."""
    choices, labels = row.texts("choices", "text"), row.texts("choices", "label")
    if labels != list(LETTERS) or len(choices) != len(labels):
        raise row.wrong(f"`choices.label` is {labels}, of {len(choices)} texts", f"give five, labelled {LETTERS}")
    asked = "\n".join([f"Question: {row.text('question').strip()}", *_lettered(choices), "Answer:"])
    return row.item(asked, LETTERS, row.label("answerKey", LETTERS), identity=row.text("id"))


def piqa(row: Row) -> Item:
    """piqa/piqa.yaml."""
    choices = [row.text("sol1"), row.text("sol2")]
    return row.item(f"Question: {row.text('goal')}\nAnswer:", choices, row.number("label", 2))


def winogrande(row: Row) -> Item:
    """winogrande/default.yaml and preprocess_winogrande.py: the contexts differ, what follows is the same."""
    before, gap, after = row.text("sentence").partition("_")
    if not gap or not after.strip():
        raise row.wrong(f"`sentence` is {before + gap!r}", "give a sentence with words behind a gap `_`")
    contexts = [before + row.text("option1"), before + row.text("option2")]
    return row.item(contexts, after.strip(), row.number("answer", 2, first=1))


def boolq(row: Row) -> Item:
    """super_glue/boolq/default.yaml. Rows of SuperGLUE (`label`), or of BoolQ itself (`answer`, a boolean, and perhaps
    the `title` that SuperGLUE puts before the passage)."""
    if "label" in row:
        answer = row.number("label", 2)
    else:
        answer = row.value("answer")
        if not isinstance(answer, bool):
            raise row.wrong(f"`answer` is {answer!r}", "give true or false")
    passage = f"{row.text('title')} -- {row.text('passage')}" if "title" in row else row.text("passage")
    return row.item(f"{passage}\nQuestion: {row.text('question')}?\nAnswer:", ("no", "yes"), int(answer))


def lambada(row: Row) -> Item:
    """lambada/lambada_openai.yaml: the target begins with the blank."""
    return row.item(row.text("context"), " " + row.text("continuation"))


def gsm8k(row: Row) -> Item:
    """gsm8k/gsm8k.yaml."""
    answer = row.text("answer")
    if "#### " not in answer:
        raise row.wrong(f"`answer` ends with {answer[-40:]!r}", "end it with `#### ` and the number")
    return row.item(f"Question: {row.text('question')}\nAnswer:", answer)


def sciq(row: Row) -> Item:
    """sciq/sciq.yaml: the right answer stands last."""
    choices = [row.text(key) for key in ("distractor1", "distractor2", "distractor3", "correct_answer")]
    return row.item(
        f"{row.text('support', empty=True).lstrip()}\nQuestion: {row.text('question')}\nAnswer:", choices, 3
    )


def social_iqa(row: Row) -> Item:
    """siqa/siqa.yaml."""
    choices = [row.text(key) for key in ("answerA", "answerB", "answerC")]
    return row.item(f"Q: {row.text('context')} {row.text('question')}\nA:", choices, row.number("label", 3, first=1))


def copa(row: Row) -> Item:
    """super_glue/copa/default.yaml and its utils.py: the choices begin with a blank of their own."""
    word = {"cause": "because", "effect": "therefore"}.get(row.text("question"))
    if word is None:
        raise row.wrong(f"`question` is {row.text('question')!r}", "give cause or effect")
    choices = [f" {one[0].lower()}{one[1:]}" for one in (row.text("choice1"), row.text("choice2"))]
    return row.item(f"{row.text('premise').strip()[:-1]} {word}", choices, row.number("label", 2))


def rte(row: Row) -> Item:
    """glue/rte/default.yaml."""
    asked = f"{row.text('sentence1')}\nQuestion: {row.text('sentence2')} True or False?\nAnswer:"
    return row.item(asked, ("True", "False"), row.number("label", 2))


def sst2(row: Row) -> Item:
    """glue/sst2/default.yaml."""
    asked = f"{row.text('sentence')}\nQuestion: Is this sentence positive or negative?\nAnswer:"
    return row.item(asked, ("negative", "positive"), row.number("label", 2))


def _labelled(row: Row, asked: str) -> Item:
    """Choices with labels, of which `answerKey` names one."""
    choices, labels = row.texts("choices", "text"), row.texts("choices", "label")
    if len(choices) != len(labels):
        raise row.wrong(f"`choices` has {len(choices)} texts and {len(labels)} labels", "give a label for each text")
    return row.item(asked, choices, row.label("answerKey", labels), identity=row.text("id"))


def _lettered(choices: list[str]) -> list[str]:
    return [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]


def _without_brackets(text: str) -> str:
    """HellaSwag's rows from WikiHow have marks in square brackets."""
    text = re.sub("\\[.*?\\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")
