"""The file system of a run's shards has no room left, while documents are extracted, compared, and encoded.

The error names the place and what to do, nothing half-written stays, and with more room the same stage goes on to the
files of a run that always had it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from crawl2chat.cli import main
from crawl2chat.core.errors import DiskFullError
from crawl2chat.core.manifest import Manifest, read_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.stage import Stage
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.pipelines.extract_stage import EXTRACT
from crawl2chat.pipelines.sources.crawl.crawl_stage import CRAWL
from crawl2chat.tokenize.tokenize_stage import SHARDS, TOKENIZER

pytestmark = [pytest.mark.ray, pytest.mark.failure]
FILES, ROOM, PAGE = 4, 64 << 10, 4096


@pytest.fixture
def run_below(tmp_path: Path, pages: list[tuple[str, str]]) -> Callable[[Path], Run]:
    """Makes runs over the same four files, in the storage that is given."""
    for number in range(FILES):
        rows = [json.dumps({"url": url, "text": text}) for url, text in pages[number::FILES]]
        (tmp_path / f"pages-{number}.jsonl").write_text("\n".join(rows) + "\n")
    recipe = {
        "sources": [{"kind": "jsonl", "name": "pages", "paths": [f"{tmp_path}/*.jsonl"], "url": "url"}],
        "language": {"keep": [], "threshold": 0},
        "filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb")),
        "dedup": {"partitions": 3, "gates": {"max_removed": 1.0}},
        "tokenizer": {"vocab_size": 600},
    }
    return lambda storage: Run(Recipe.model_validate({"name": "run", "storage": str(storage), **recipe}))


def do(run: Run, *stages: Stage) -> Manifest:
    *_, (_, made) = bring_up_to_date(stages, run, nullcontext)
    return made


def used(disk: Path) -> int:
    state = os.statvfs(disk)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def size_of(folder: Path) -> int:
    """In whole pages of memory, as a tmpfs has it."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


def check_freed(disk: Path, unit: str) -> None:
    """The unit that failed left nothing, and no process holds on to what is removed. Units beside it, which Ray ended,
    may leave a file that the next attempt removes."""
    assert not list(disk.rglob(f".{unit}*"))
    deadline = time.monotonic() + 30
    while used(disk) > size_of(disk) + PAGE:
        assert time.monotonic() < deadline, (used(disk), size_of(disk))
        time.sleep(0.2)


def test_full_in_each_stage_it_is_named_and_with_more_room_goes_on(
    local_ray: None, run_below: Callable[[Path], Run], small_disk: Path, tmp_path: Path
) -> None:
    whole, run = run_below(tmp_path / "room"), run_below(small_disk)
    do(whole, CRAWL, EXTRACT, DEDUP, TOKENIZER, SHARDS)
    signatures = size_of(whole.stage("dedup") / "signatures")
    do(run, CRAWL)
    for stage, *rooms in (
        (EXTRACT, (ROOM, "")),
        (DEDUP, (ROOM, "signatures"), (signatures + 4 * PAGE, "edges")),  # among units, and then in a shuffle
        (TOKENIZER,),
        (SHARDS, (ROOM, "")),
    ):
        before = used(small_disk)
        for room, place in rooms:
            resize(small_disk, before + room)
            with pytest.raises(DiskFullError, match="free some space, and give the same command") as caught:
                do(run, stage)
            told, folder = caught.value.message, run.stage(stage.name)
            where = f"no (.*) could be written to {folder}/{place}.*, which has 0 MiB free on .* of {small_disk}: "
            named = re.match(where, told)
            assert named, told
            assert read_manifest(folder) is None
            check_freed(small_disk, named[1])
        resize(small_disk, 100 << 20)
        found, expected = do(run, stage), read_manifest(whole.stage(stage.name))
        assert expected is not None and found.digest == expected.digest and found.counters == expected.counters
        assert not list(small_disk.rglob("*.partial"))


def test_the_command_says_what_is_full_and_no_more(
    local_ray: None, run_below: Callable[[Path], Run], small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = small_disk.parent / "recipe.yaml"
    recipe.write_text(run_below(small_disk).recipe.to_yaml())
    resize(small_disk, ROOM)
    for _ in range(2):
        assert main(["data", str(recipe)]) == 1
        told = capfd.readouterr().err
        assert "crawl2chat: no pages-" in told and "free some space, and give the same command" in told
        assert "Traceback" not in told and "Logging error" not in told, told
        with suppress(OSError):  # and again, with no room at all
            (small_disk / "filling").write_bytes(bytes(ROOM))
