"""The page: it stands alone, escapes what comes from documents, and says of every kind of run what there is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.cli import main
from crawl2chat.report.facts import as_json
from crawl2chat.report.page import page
from crawl2chat.report.state import begun, write_state

from .conftest import EVIL, KEPT, Written

VOID = {"meta", "br", "input"}
Facts = Callable[[Written], Any]


class Page(HTMLParser):
    """Tags that were closed out of turn or not at all, ids and what refers to them, attributes, visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


@pytest.fixture
def whole(written: Written, facts_of: Facts) -> str:
    return page(facts_of(written.everything()))


def test_it_is_well_formed_and_stands_alone(whole: str) -> None:
    found = Page(whole)
    assert found.wrong == [] and found.open == []
    assert len(set(found.ids)) == len(found.ids)
    assert {link[1:] for link in found.links} <= set(found.ids) and found.links
    assert not {"img", "link", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    assert not [
        one for one in found.attributes if one[1] in ("src", "srcset", "action", "data") or one[1].startswith("on")
    ]
    assert not re.search(r"@import|url\(", whole)


def test_its_policy_lets_its_own_script_run_and_no_other(whole: str) -> None:
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', whole)
    [script] = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy and "http" not in policy


def test_what_documents_and_models_say_is_escaped(whole: str) -> None:
    assert EVIL not in whole and whole.count("<script") == 1
    found = Page(whole)
    assert found.text.count(EVIL) >= 6, "in a sample, a kept text, a spike, a model's name, on the way, at the end"


LETTERS = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3lM6"
PERSONAL = {  # what a document, its address, a recipe and a message may hold, and what nobody is to see
    "jane.doe@example.org": "[EMAIL]", "john@example.org": "[EMAIL]", "GB82 WEST 1234 5698 7654 32": "[IBAN]",
    f"ghp_{LETTERS}": "[SECRET]", "open-sesame": "***", "abracadabra": "***", "swordfish": "***",
}  # fmt: skip


def planted(folder: Path, **sections: Any) -> Written:
    """One document that stays and one that is too short, each with personal data, from an address with a password."""
    jane, john, account, key, word, token, secret = PERSONAL
    address = f"https://jane:{word}@host.org/x/{john.replace('@', '%40')}?mail={john}&token={token}&page="
    texts = [f"{KEPT} Write to {jane}.", f"Write to {jane}, {account}, {key}: that is the whole of the house."]
    rows = [{"text": text, "title": f"Of {john}", "url": f"{address}{at}"} for at, text in enumerate(texts)]
    watching = {"mlflow": f"https://jane:{word}@mlflow/?api_key={token}"}
    written = Written(folder, rows, {"title": "title", "url": "url"}, watching=watching, **sections).extract()
    failed = replace(begun(["extract"]), state="failed", error=f"no file at s3://key:{secret}@bucket", fix="give one")
    write_state(written.run.folder, failed)
    return written


def test_personal_data_and_credentials_are_not_shown(tmp_path: Path, facts_of: Facts) -> None:
    facts = facts_of(planted(tmp_path))
    shown = re.sub(r"\s+", " ", Page(page(facts)).text)
    for secret, mask in PERSONAL.items():
        assert secret not in shown and secret not in json.dumps(as_json(facts)), secret
        assert mask in shown
    assert "Write to [EMAIL], [IBAN], [SECRET]: that is the whole of the house." in shown, "of the one that left"
    assert "https://***@host.org/x/[EMAIL]?mail=[EMAIL]&token=***&page=1" in shown and "&page=0" in shown
    assert "john%40" not in shown
    assert "mlflow: 'https://***@mlflow/?api_key=***'" in shown and "no file at s3://***@bucket" in shown


def test_where_nothing_is_to_be_masked_texts_are_shown_as_they_are(tmp_path: Path, facts_of: Facts) -> None:
    shown = Page(page(facts_of(planted(tmp_path, pii=None)))).text
    assert "GB82 WEST 1234 5698 7654 32" in shown and "swordfish" not in shown, "credentials are another matter"


def test_every_section_has_what_the_files_have(whole: str, written: Written) -> None:
    found = Page(whole)
    sections = {"documents", "reasons", "duplicates", "languages", "tokenizer", "pretrain", "finetune", "align"}
    assert sections | {"evaluation", "samples", "making"} <= set(found.ids)
    words = re.sub(r"\s+", " ", found.text)
    for said in (
        "gopher_short_doc", "bad_json", "minhash_duplicate", "measured 0.93", "went on from the checkpoint of step 40",
        "gzip -9", "3.500, 5.600 before", "arc_easy", "34.0 – 48.0 %", "above chance", "en English",
        "What is an acid?", "preference accuracy0.75, 0.5 before", "crawl2chat run --run", "kind: jsonl",
        "loss of answers",
    ):  # fmt: skip
        assert said in words, said


def test_charts_have_a_title_and_numbers_beside(whole: str) -> None:
    found = Page(whole)
    assert found.tags.count("svg") >= 20
    labels = [value for tag, name, value in found.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == found.tags.count("svg") and all(labels)
    assert found.tags.count("desc") == found.tags.count("svg")
    assert whole.count("The same in numbers") == 3


def test_scores_stand_with_intervals_and_chance_and_those_on_the_way_as_curves(whole: str) -> None:
    [table] = re.findall(r'<section id="evaluation">.*?</section>', whole, re.DOTALL)
    words = re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]+>", " ", table, flags=re.DOTALL))
    assert "arc_easy acc pretrain 0 200 26.0 % 20.0 – 33.0 % 25.0 % at chance" in words
    assert "arc_easy bits per byte pretrain 0 200 1.9 1.8 – 2 " in words, "no share, and no chance"
    drawn = re.findall(r'<svg[^>]*class="interval".*?</svg>', table, re.DOTALL)
    assert len(drawn) == 4 and all('class="range"' in one and 'class="chance"' in one for one in drawn)
    assert "26.0 percent, 95 % interval 20.0 to 33.0, chance 25.0" in drawn[0]
    [curves] = re.findall(r'<svg[^>]*aria-label="piqa while training".*?</svg>', whole, re.DOTALL)
    assert set(re.findall('data-name="([^"]*)"', curves)) == {"acc", "acc norm"} and "0.5 chance" in curves
    [curve] = re.findall(r'<svg[^>]*aria-label="lambada while training".*?</svg>', whole, re.DOTALL)
    assert set(re.findall('data-name="([^"]*)"', curve)) == {"perplexity"}


@pytest.mark.parametrize(
    ("method", "title", "tile", "charts", "others"),
    [
        ("align", "Preferences (DPO)", "held-out pairs told right 75.0 % 50.0 % before", ["Margin"], []),
        ("reward", "Reward model", "held-out pairs told right 90.0 % 40.0 % before", ["Pairs told right"], []),
        (
            "grpo", "Rewards (GRPO)", "held-out reward 0.625 0.125 before",
            ["Divergence from the reference", "Groups of one mind"], ["Held out reward", "Kl", "Divergence", "Reward"],
        ),
    ],
)  # fmt: skip
def test_alignment_is_shown_as_what_it_is(
    written: Written, facts_of: Facts, method: str, title: str, tile: str, charts: list[str], others: list[str]
) -> None:
    written.extract().dedup().tokens().pretrain().finetune()
    text = page(facts_of(getattr(written, method)()))
    found = Page(text)
    assert re.sub(r"\s+", "", tile) in re.sub(r"\s+", "", found.text)
    assert re.search(rf'<section id="align">\s*<h2>{re.escape(title)}</h2>', text)
    assert f'<a href="#align">{title}</a>' in text
    labels = [value for tag, name, value in found.attributes if (tag, name) == ("svg", "aria-label")]
    assert all(labels.count(one) == 1 for one in charts), labels
    assert not set(others) & set(labels), "values of batches and of held-out answers stand in one chart"
    if method == "grpo":
        names = {"Reward of align": "training", "Divergence from the reference": "batch"}
        for label, name in names.items():
            chart = re.findall(rf'<svg[^>]*aria-label="{label}".*?</svg>', text, re.DOTALL)[0]
            assert f'data-name="{name}"' in chart and 'data-name="held out"' in chart


def test_the_method_of_a_training_under_way_is_the_recipes(tmp_path: Path, facts_of: Facts) -> None:
    written = Written(tmp_path, align={"method": "grpo"}).extract().dedup().tokens().pretrain().finetune().grpo()
    (written.run.stage("align") / "manifest.json").unlink()
    assert [one.method for one in facts_of(written).trainings] == ["", "", "grpo"]


@pytest.mark.parametrize(
    ("stages", "has", "lacks"),
    [
        ([], {"making"}, {"documents", "duplicates", "tokenizer", "pretrain", "evaluation", "samples"}),
        (["extract"], {"documents", "reasons", "languages"}, {"duplicates", "tokenizer", "pretrain"}),
        (["extract", "dedup", "tokens"], {"duplicates", "tokenizer"}, {"pretrain", "finetune", "evaluation"}),
    ],
)
def test_a_stage_that_a_run_has_not_is_left_out(
    written: Written, facts_of: Facts, stages: list[str], has: set[str], lacks: set[str]
) -> None:
    for stage in stages:
        getattr(written, stage)()
    found = Page(page(facts_of(written)))
    assert has <= set(found.ids) and not lacks & set(found.ids)
    assert found.wrong == [] and "nan" not in found.text.split()


def test_a_run_under_way_says_where_it_is(written: Written, facts_of: Facts) -> None:
    written.extract().dedup().tokens().pretrain(done=25, whole=False)
    write_state(written.run.folder, replace(begun(["tokenizer", "shards", "pretrain", "finetune"]), stage="pretrain"))
    with written.run.lock():
        text = page(facts_of(written))
    found = re.sub(r"\s+", " ", Page(text).text)
    assert "running" in found and "pretrain: step 25 of 60, about 35 s left" in found
    assert "finetune to come" in found and 'http-equiv="refresh"' in text


def test_a_run_that_failed_says_why_and_what_to_do(written: Written, facts_of: Facts) -> None:
    written.extract()
    failed = replace(
        begun(["extract", "dedup"]), state="failed", stage="dedup", error=f"too many {EVIL}", fix="raise it"
    )
    write_state(written.run.folder, failed)
    text = page(facts_of(written))
    found = re.sub(r"\s+", " ", Page(text).text)
    assert f"failed dedup: too many {EVIL}" in found and "What to do: raise it" in found
    assert EVIL not in text and 'http-equiv="refresh"' not in text


def test_a_run_whose_process_was_killed_has_stopped(written: Written, facts_of: Facts) -> None:
    write_state(written.run.folder, replace(begun(["extract"]), stage="extract"))
    with written.run.lock():
        assert "working on extract" in page(facts_of(written))
    stopped = "its process ended in extract without a word"
    assert stopped in page(facts_of(written)), "also when its number is a living process's, as it is here"
    write_state(written.run.folder, replace(begun(["extract"]), stage="extract", process=os.getpid() + 1))
    with written.run.lock():
        assert stopped in page(facts_of(written)), "another command has the run, which writes no state"


def test_a_broken_file_costs_its_section_alone(written: Written, facts_of: Facts) -> None:
    written.everything()
    (written.run.stage("dedup") / "clusters" / "s-00000.parquet").write_bytes(b"cut")
    (written.run.stage("evaluate") / "results.json").write_text("{")
    (written.run.stage("samples") / "samples.json").write_text('[1, {"text": "left"}]')
    found = Page(page(facts_of(written)))
    assert "pretrain" in found.ids and "documents" in found.ids
    assert "duplicates" not in found.ids and "evaluation" not in found.ids
    assert "duplicates: " in found.text and "left" in found.text


BINARY = bytes(range(128, 256))


@pytest.mark.parametrize(
    ("file", "section", "note"),
    [
        ("pretrain/course.jsonl", "pretrain", "the course of pretrain: UnicodeDecodeError"),
        ("evaluate/results.json", "evaluation", ""),
        ("samples/samples.json", "samples", ""),
    ],
)
def test_a_file_of_bytes_costs_its_section_alone(
    written: Written, facts_of: Facts, file: str, section: str, note: str
) -> None:
    written.everything()
    before = set(Page(page(facts_of(written))).ids)
    (written.run.folder / file).write_bytes(BINARY)
    found = Page(page(facts_of(written)))
    assert section in before and {one for one in before if not one.startswith("logs-")} - set(found.ids) == {section}
    assert note in found.text and found.wrong == []


@pytest.mark.parametrize(
    ("name", "section", "note"),
    [
        ("read_scores", "evaluation", "evaluation: TypeError: a list"),
        ("_samples", "samples", "samples: TypeError: a list"),
        ("read_making", "making", "how it was made: TypeError: a list"),
        ("read_training", "align", "the course of align: TypeError: a list"),
    ],
)
def test_what_a_reader_did_not_foresee_costs_its_section_alone(
    written: Written, facts_of: Facts, monkeypatch: pytest.MonkeyPatch, name: str, section: str, note: str
) -> None:
    written.everything()

    def fail(*_: Any) -> Any:
        raise TypeError("a list")

    monkeypatch.setattr(f"crawl2chat.report.facts.{name}", fail)
    found = Page(page(facts_of(written)))
    assert section not in found.ids and "documents" in found.ids and found.wrong == []
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert note in found.text


def test_the_verb_writes_the_page_where_it_is_told(
    written: Written, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    written.extract()
    assert main(["report", "--run", str(written.run.folder)]) == 0
    assert capsys.readouterr().out.strip() == str(written.run.folder / "report.html")
    assert main(["report", "--run", str(written.run.folder), "--out", str(tmp_path / "sub" / "page.html")]) == 0
    assert (tmp_path / "sub" / "page.html").read_text("utf-8").startswith("<!DOCTYPE html>")
