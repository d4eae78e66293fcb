"""A small run of the tiny recipe, made once by the command line; runs with a test's texts; pages in 25 languages."""

from __future__ import annotations

import bz2
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from crawl2chat.core.manifest import Manifest, file_entry, write_manifest
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.schema import DOCUMENT, doc_id
from crawl2chat.pipelines.sources.paths import open_binary

SMALL = [
    "sources.web.max_pages=60",
    "dedup.threshold=0.6",  # among so few pages none are more alike
    "tokenizer.vocab_size=600",
    "model.layers=2",
    "model.width=64",
    "model.feed_forward=128",
    "model.context=64",
    "train.steps=60",
    "train.checkpoint_every=20",
    "train.validate_every=30",
    "finetune.steps=20",
    "finetune.checkpoint_every=20",
    "align.steps=10",
    "align.data.too_long=truncate",
    "sampling.max_tokens=16",
    "tune.rows=['50k']",
    "tune.space={learning_rate: [1.0e-3, 1.0e-2]}",
    "tune.steps=20",
    "tune.report_every=10",
    "storage=runs",
]


class Workshop:
    """A folder with a recipes/tiny.yaml smaller than the shipped one, in which commands run as a user runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipes").mkdir()
        tiny = load_recipe("tiny", SMALL)
        [dump] = (source for source in tiny.sources if source.kind == "wikipedia")
        _shorten(dump.paths[0], folder / "wiki.xml.bz2", pages=60)
        recipe = tiny.model_dump(mode="json")
        recipe["sources"][1]["paths"] = ["wiki.xml.bz2"]
        (folder / "recipes" / "tiny.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        _write_tasks(folder / "data")

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start `crawl2chat ARGUMENTS` in the folder, output captured; `variables` join the environment."""
        environment = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
        return subprocess.Popen(
            [sys.executable, "-m", "crawl2chat", *arguments],
            cwd=self.folder,
            env=environment | variables,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> tuple[int, str]:
        """Run a command to its end: exit code and output."""
        process = self.start(*arguments, **variables)
        output, _ = process.communicate(stdin, timeout=600)
        return process.returncode, output


def _write_tasks(data: Path) -> None:
    """Some questions, for the commands that evaluate."""
    piqa = [
        {"goal": f"To see number {n}", "sol1": "look.", "sol2": f"wait {n} days.", "label": n % 2} for n in range(9)
    ]
    mmlu = [
        {"question": f"What is {n}?", "subject": subject, "choices": ["one", "two", "ten", "none"], "answer": n % 4}
        for subject in ("anatomy", "virology")
        for n in range(6)
    ]
    for name, rows in (("eval-tasks/piqa_val", piqa), ("mmlu/test", mmlu), ("mmlu/dev", mmlu)):
        path = data / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _shorten(dump: str, target: Path, pages: int) -> None:
    """The first pages of a dump, as a dump."""
    with open_binary(dump) as handle:
        whole = bz2.decompress(handle.read())
    ends = [match.end() for match in re.finditer(b"</page>\\s*", whole)]
    target.write_bytes(bz2.compress(whole[: ends[pages - 1]] + b"</mediawiki>\n"))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def finished(workshop: Workshop) -> Workshop:
    """The workshop with runs/tiny complete."""
    code, output = workshop.run("run", "recipes/tiny.yaml")
    assert code == 0, output
    (workshop.folder / "first_output.txt").write_text(output)
    shutil.copyfile(workshop.folder / "runs/tiny/report.html", workshop.folder / "first_report.html")
    return workshop


@pytest.fixture
def extracted(tmp_path: Path) -> Callable[..., Run]:
    """Makes runs whose stage `extract` is finished, with texts of the test's choice: documents go round the units."""

    def make(
        name: str,
        documents: list[tuple[str, ...]],
        units: int | dict[str, int] = 2,
        source: str | list[str] = "web",
        rows: list[dict[str, Any]] | None = None,
        **sections: Any,
    ) -> Run:
        """documents: (key, text), of several sources (source, key, text); the key makes the doc_id.

        units: of all documents, with names as if of one source; or of each source's.

        rows: other columns of the documents; sections: of the recipe.
        """
        names = [source] if isinstance(source, str) else source
        sources = [{"kind": "jsonl", "name": one, "paths": ["pages.jsonl"]} for one in names]
        recipe = {"name": name, "storage": str(tmp_path), "sources": sources, **sections}
        made = [_document(at, names[0], *one) for at, one in enumerate(documents)]
        made = [
            row | {k: v for k, v in more.items() if k in row}
            for row, more in zip(made, rows or [{}] * len(made), strict=True)
        ]
        run = Run(Recipe.model_validate(recipe))
        folder = run.stage("extract")
        entries = []
        by_source = (
            {"web": made}
            if isinstance(units, int)
            else {one: [row for row in made if row["source"] == one] for one in units}
        )
        counts = {"web": units} if isinstance(units, int) else units
        for one, number in [(one, number) for one, count in counts.items() for number in range(count)]:
            unit_rows = by_source[one][number :: counts[one]]
            path = folder / "documents" / f"{one}-{number:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(unit_rows, schema=DOCUMENT), path)
            entries.append(file_entry(folder, path, len(unit_rows)))
        counters = {"documents_in": len(documents), "documents": len(documents)}
        manifest = Manifest(
            **{"stage": "extract", "version": 1, "config": {}, "fingerprint": "", "inputs": {}, "files": entries},
            **{"counters": counters, "facts": {}, "code_version": "", "seconds": 0},
        )
        write_manifest(folder, manifest)
        return run

    return make


def _document(number: int, default: str, *of: str) -> dict[str, Any]:
    source, key, text = of if len(of) == 3 else (default, *of)
    names = {"doc_id": doc_id(source, key), "url": f"http://example.org/{key}", "source": source, "title": ""}
    origin = {"origin_file": "pages.jsonl", "origin_offset": number}
    return {**names, "date": "", "lang": "en", "lang_score": 1.0, "text": text, **origin}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(options, capture_output=True, check=False).returncode:
        if os.environ.get("CI"):
            pytest.fail("mounting a tmpfs is not permitted: CI must be able to")
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def pages(shared_data: Path) -> list[tuple[str, str]]:
    """526 documentation pages in 25 languages, among them many copies and near-copies: (URL, text)."""
    from fastwarc.warc import ArchiveIterator
    from resiliparse.extract.html2text import extract_plain_text

    found = []
    with (shared_data / "debian-multilang-html" / "pages.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream):
            html = record.reader.read().decode("utf-8", "replace")
            found.append((record.headers["WARC-Target-URI"], extract_plain_text(html, main_content=True)))
    assert len(found) == 526
    return found


@pytest.fixture(scope="session")
def edited(pages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pages, and each again with a share of its words replaced, at every similarity: some 2,600 documents."""
    generator = np.random.default_rng(23)
    found = list(pages)
    for url, text in pages:
        words = text.split()
        for number, share in enumerate((0.005, 0.01, 0.02, 0.03, 0.05)):
            changed = [
                f"w{at}" if one < share / 2 else word
                for at, (word, one) in enumerate(zip(words, generator.random(len(words)), strict=True))
            ]
            found.append((f"{url}?{number}", " ".join(changed)))
    return found
