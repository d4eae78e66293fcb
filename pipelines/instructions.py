"""Question/answer pairs from encyclopedia articles: the title asks, the first sentences answer. Plain functions.

    "Anarchism", "Anarchism is a political philosophy that … It …"  →
    user: What is anarchism?   assistant: Anarchism is a political philosophy that …

An article gives several questions with one answer, or a reason why it gives none: no_title, list_page, disambiguation,
no_sentence, long_sentence, hole, off_topic. Rules are for English.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LEAD_CHARS = 4000  # a lead is shorter; the rest of an article is only looked at for the spelling of its title
LIST_TITLE = re.compile(r"^(?:lists?|index|outline|timeline|glossary|comparison|table) of\b|\(list\)$", re.IGNORECASE)
DISAMBIGUATION = re.compile(r"\bmay (?:also )?(?:refer to|mean|stand for)\b|\b(?:refers? to|stands? for):\s*$", re.M)
ABOUT_ITSELF = re.compile(r"^This (?:article|page|list|is a list)\b")
QUALIFIER = re.compile(r"\s*\([^()]*\)$")
PARENTHESES = re.compile(r"(?:(?<=\s)|^)\([^()]*\)")  # not f(x)
SENTENCE_END = re.compile(r"[.!?][\"”’']*(?=\s+[\"“‘']?[A-Z0-9])")
ABBREVIATION = re.compile(
    r"(?:^|[\s.\"“(])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Ste|Prof|Jr|Sr|vs|e\.g|i\.e|ca?|cf|no|No|vol|Vol|Gen|Col|Lt|Capt|Rev|Mt|Ft"
    r"|approx|fl|lit|pron|esp|Inc|Ltd|Co|Corp|Ph\.D|[ap]\.m|a\.k\.a)\.$"
)
VERB = re.compile(r"\b(?:is|are|was|were)\b")
CLAUSE = re.compile(r"\b(?:which|who|whom|whose|whereby|where|that)\b")
LIFE = re.compile(r"\b(?:born|died|b\.|d\.|fl\.)|\d{3,4}\b[^)]*[–-][^)]*\d{2,4}\b", re.IGNORECASE)
PRONOUN = re.compile(r"\b(?:he|she|his|her)\b", re.IGNORECASE)
PERSONAL = re.compile(r"(?:He|She|His|Her)\b")


@dataclass(frozen=True)
class Derived:
    """Questions with their one answer; or, with neither, the reason."""

    questions: tuple[str, ...] = ()
    answer: str = ""
    reason: str = ""


def derive(title: str, text: str, max_answer_chars: int) -> Derived:
    """Questions and answer of one article. `text` begins with the lead; its first line is the first paragraph."""
    subject = QUALIFIER.sub("", title).strip()
    paragraph, _, _ = text[:LEAD_CHARS].strip().partition("\n")
    if not subject:
        return Derived(reason="no_title")
    if LIST_TITLE.search(title):
        return Derived(reason="list_page")
    if "(disambiguation)" in title or DISAMBIGUATION.search(text[:600]):
        return Derived(reason="disambiguation")
    found = sentences(without_parentheses(paragraph))
    if not found:
        return Derived(reason="no_sentence")
    if len(found[0]) > max_answer_chars:
        return Derived(reason="long_sentence")
    place = mention(subject, found[0])
    if place is None or ABOUT_ITSELF.match(found[0]):
        return Derived(reason="off_topic")
    whole = [repaired(sentence, subject) for sentence in found]
    if whole[0] is None:
        return Derived(reason="hole")
    word = "Who" if is_person(found, paragraph, text) else "What"
    name = name_in_question(title, subject, place, text)
    return Derived(questions(name, word, whole[0][place.end() :]), first(whole, max_answer_chars))


def without_parentheses(text: str) -> str:
    """The text without what stands in parentheses after a blank: pronunciations, translations, dates, asides."""
    before = None
    while before != text:
        before, text = text, PARENTHESES.sub("\x00", text)
    return re.sub(r"\s*\x00", "", text).strip()


def sentences(paragraph: str) -> list[str]:
    """Sentences of a paragraph; a rest that does not end like a sentence is left out."""
    found, start = [], 0
    for match in SENTENCE_END.finditer(paragraph):
        sentence = paragraph[start : match.end()].strip()
        if not ABBREVIATION.search(sentence):
            found.append(sentence)
            start = match.end()
    rest = paragraph[start:].strip()
    return [*found, rest] if re.search(r"[.!?][\"”’']*$", rest) else found


def repaired(sentence: str, subject: str) -> str | None:
    """The sentence without the gap that a removed template left behind the subject; None for a gap elsewhere.

    "Angola , officially …" lost a pronunciation, "with an area of , …" lost a fact.
    """
    name = re.escape(subject)
    mended = re.sub(rf"({name}) +([,;])", r"\1\2", sentence, count=1, flags=re.IGNORECASE)
    return None if re.search(r"\s[,;.:]|[,;]\s*[,;.]", mended) else re.sub(r"\s+", " ", mended)


def first(found: list[str | None], max_chars: int) -> str:
    """As many sentences from the start as are whole and fit."""
    answer = found[0] or ""
    for sentence in found[1:]:
        if sentence is None or len(answer) + 1 + len(sentence) > max_chars:
            break
        answer = f"{answer} {sentence}"
    return answer


def mention(subject: str, sentence: str) -> re.Match[str] | None:
    """Where the sentence names the subject, with article and plural: whole, or with more between first and last word
    (Andre Kirk Agassi)."""
    words = subject.split()
    forms = [re.escape(subject)]
    if len(words) > 1:
        forms.append(rf"{re.escape(words[0])}\s[^.;]{{1,40}}?{re.escape(words[-1])}")
    for form in forms:
        pattern = rf"(?:\b(?P<article>the|an?)\s+)?(?<!\w){form}(?P<plural>s|es)?(?!\w)"
        match = re.search(pattern, sentence, re.IGNORECASE)
        if match:
            return match
    return None


def name_in_question(title: str, subject: str, place: re.Match[str], text: str) -> str:
    """The subject with the article that the first sentence gives it, spelled as within a sentence: `anarchism`, `an
    acid`, `Alabama`. What the article writes more often decides."""
    article, plural = place["article"], place["plural"] or ""
    small = subject[0].lower() + subject[1:]
    proper = len(subject) == 1 or (subject != title and not article)  # `Algorithms (journal)`
    counts = [len(re.findall(rf"[a-z,] {re.escape(form)}", text[:20_000])) for form in (small, subject)]
    name = (subject if proper or counts[0] <= counts[1] else small) + plural
    return f"{article.lower()} {name}" if article else name


def questions(name: str, word: str, predicate: str) -> tuple[str, ...]:
    """Ways to ask for the subject; by the verb of what its first sentence says of it: What is, Who was."""
    general = (f"Tell me about {name}.", f"What do you know about {name}?")
    verb = VERB.search(predicate)
    if verb is None or CLAUSE.search(predicate[: verb.start()]):
        return general
    return (f"{word} {verb.group()} {name}?", *general)


def is_person(found: list[str], paragraph: str, text: str) -> bool:
    """Whether the article goes on with He or She; or opens with dates of a life, and then speaks of a him or a her."""
    opening = re.search(r"\(([^()]*)\)", paragraph[:300])
    dated = bool(opening and LIFE.search(opening.group(1)))
    return (len(found) > 1 and bool(PERSONAL.match(found[1]))) or (
        dated and len(PRONOUN.findall(text[:LEAD_CHARS])) >= 3
    )
