"""Quality classifiers on human labels: ROC AUC of our training beside training in DCLM's way, on the same raw web.

    python benchmarks/classifier.py [--web WARC …] [--json] [--quick]

Labels: 499 web texts that people called good or not (DCLM's, Li et al. 2024). No training sees them. Good texts:
articles of Wikipedia, books, instructions; raw web: English pages of WARC samples and of an extraction corpus, by
resiliparse and without filters; with --web, pages of more WARC files too. Intervals: 95 %, by bootstrap over the
labelled texts. DCLM's way: good texts are instructions with their answers, documents whole, the text as it is, word
bigrams, 100 dimensions, 5 epochs.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _bench import SHARED, arguments, finish, print_table

DATA = SHARED / "data"
LABELS = "web-text-samples/dclm_quality_majority_499.jsonl.gz"
WIKI = ["web-text-samples/wiki_demo.txt.gz#lines"]
BOOKS = ["text/austen/*.gz"]
INSTRUCTIONS = [
    "instruct/dolly*.gz#prompt,response",
    "instruct/llamafactory_alpaca_en*.gz#instruction,input,output",
    "instruct/rasbt*.gz#instruction,input,output",
]
DUMP = "wikipedia-dump-sample/enwiki-pages-articles-shortened.xml.bz2"
RAW = ["trafilatura-eval/pages.warc.gz", *(f"warc-samples/{name}*" for name in ("aut", "dolma", "jwarc", "pywb"))]


def texts(names: Iterable[str]) -> dict[str, list[str]]:
    from crawl2chat.pipelines.classifier_inputs import documents

    return {name: list(documents(str(DATA / name), None)) for name in names}


def articles() -> list[str]:
    from crawl2chat.pipelines.extract import normalise
    from crawl2chat.pipelines.sources.wikipedia import read_wikipedia

    with (DATA / DUMP).open("rb") as handle:
        items = read_wikipedia(handle, "https://en.wikipedia.org/wiki/", 10 << 20)
        return [normalise(text) for item in items if (text := getattr(item, "text", None))]


def english_pages(files: Iterable[Path], every: int = 1) -> Iterator[str]:
    """Texts of a WARC's pages as extraction gives them, in English."""
    from crawl2chat.pipelines.extract import extract
    from crawl2chat.pipelines.language import identify
    from crawl2chat.pipelines.sources.records import RawRecord
    from crawl2chat.pipelines.sources.warc import read_warc

    for file in files:
        with file.open("rb") as handle:
            for number, item in enumerate(read_warc(handle, 1 << 20)):
                if number % every or not isinstance(item, RawRecord) or item.html is None:
                    continue
                text = extract(item.html, item.charset, "resiliparse").text
                if len(text) > 100 and identify([text])[0][0] == "en":
                    yield text


def auc_row(name: str, good: dict[str, list], raw: dict[str, list], settings: Any, labelled: Any) -> list[Any]:
    """Train, score the labelled texts, and describe it in a row."""
    from crawl2chat.core.settings_quality import Classifier
    from crawl2chat.pipelines.classifier import load
    from crawl2chat.pipelines.classifier_report import bootstrap_auc, roc_auc
    from crawl2chat.pipelines.classifier_training import train

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.bin"
        report = train(good, raw, settings, target)
        scores = load(Classifier(name="quality", model=str(target))).score(labelled[0])
    low, high = bootstrap_auc(scores, labelled[1])
    pieces = report["trained"]["good"]
    return [name, pieces, report["held_out"]["auc"], roc_auc(scores, labelled[1]), f"{low:.3f}–{high:.3f}"]


def whole(documents: Iterable[str]) -> list[Any]:
    """Documents as they are, as training pieces."""
    from crawl2chat.pipelines.classifier_pieces import SPAN, Piece, keys_of

    found = [(keys_of(text), text) for text in documents]
    return sorted({Piece(key, text, aside < 0.1 * SPAN) for (key, aside), text in found})


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--web", type=Path, nargs="*", default=[], help="WARC files with more raw pages")
    parser.add_argument("--every", type=int, default=20, help="of these, each so many-th page (default: %(default)s)")
    options = parser.parse_args()
    from crawl2chat.pipelines.classifier_pieces import pieces
    from crawl2chat.pipelines.classifier_report import bootstrap_auc, roc_auc
    from crawl2chat.pipelines.classifier_training import Training

    with gzip.open(DATA / LABELS, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    labelled = [row["text"] for row in rows], np.array([row["label"] == 1 for row in rows])
    files = sorted({file for pattern in RAW for file in DATA.glob(pattern)})
    raw = {"raw": [*english_pages(files), *english_pages(options.web, options.every)]}
    wiki, books, told = {**texts(WIKI), "dump": articles()}, texts(BOOKS), texts(INSTRUCTIONS)
    ours = Training()
    dclm = Training(form="plain", word_ngrams=2, dim=100, epochs=5, buckets=500_000)

    def cut(side: dict[str, list[str]]) -> dict[str, list]:
        return {name: pieces(found, 0.1, 200_000) for name, found in side.items()}

    def uncut(side: dict[str, list[str]]) -> dict[str, list]:
        return {name: whole(found) for name, found in side.items()}

    everything = {**wiki, **books, **told}
    runs = [
        ("DCLM's way", uncut(told), uncut(raw), dclm),
        ("crawl2chat: wiki, books, instructions", cut(everything), cut(raw), ours),
    ]
    if not options.quick:
        plain = ours.model_copy(update={"form": "plain", "word_ngrams": 2})
        runs += [
            ("  every word instead of the common ones", cut(everything), cut(raw), plain),
            ("  instructions alone", cut(told), cut(raw), ours),
            ("  wiki alone", cut(wiki), cut(raw), ours),
            ("DCLM's settings, wiki, books, instructions", uncut(everything), uncut(raw), dclm),
        ]
    table = [auc_row(*run, labelled) for run in runs]
    length = np.array([len(text) for text in labelled[0]], dtype=float)
    low, high = bootstrap_auc(length, labelled[1])
    table.append(["length of the text alone", None, None, roc_auc(length, labelled[1]), f"{low:.3f}–{high:.3f}"])
    print(f"{len(labelled[0])} labelled texts, {int(labelled[1].sum())} good; raw web: {len(raw['raw'])} English pages")
    print_table(["training", "pieces a class", "AUC held out", "AUC on labels", "95 %"], table)
    finish({"classifier_auc": table[1][3], "classifier_auc_dclm_style": table[0][3]}, options.json)


if __name__ == "__main__":
    main()
