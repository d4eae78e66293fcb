"""The fence: pages that hang, explode or crash cost themselves and nothing else; the child ends with its parent."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.settings_data import Extract, Filters, Language, WarcSource
from crawl2chat.pipelines.extract import extract, extract_all
from crawl2chat.pipelines.extraction import fence_child
from crawl2chat.pipelines.extraction.fence import Extracted, Fence, Html, Refused
from crawl2chat.pipelines.extraction.fence import fence as open_fence
from crawl2chat.pipelines.refine import Refiner
from crawl2chat.pipelines.sources.records import RawRecord

GOOD: list[Html] = [
    (f"<title>Page {n}</title><p>The text of page {n}, a paragraph of some length.</p>".encode(), None)
    for n in range(40)
]
NESTED = b"<div>" * 200_000 + b"text"
MANY_TAGS = b"<p>x<b>" * (50_000_000 // 7)
ATTRIBUTES = b"<p " + b" ".join(b"a%d=%d" % (n, n) for n in range(400_000)) + b">text</p>"


@pytest.fixture(scope="module")
def narrow() -> Iterator[Fence]:
    """One second and 200 MB for a page."""
    fence = Fence("cascade", 1.0, 200)
    yield fence
    fence.close()


def test_behind_the_fence_as_before_it(narrow: Fence) -> None:
    assert narrow.extract(GOOD) == extract_all(GOOD, "cascade") == [extract(*page) for page in GOOD]
    assert narrow.extract([]) == []


class Hostile:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("called",)


def test_what_a_broken_child_writes_is_not_called(
    narrow: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that a page has taken over may write any pickle: here one that answers the next group in its place."""
    monkeypatch.chdir(tmp_path)
    narrow.extract(GOOD[:1])
    assert narrow._child is not None
    (tmp_path / "answer").write_bytes(pickle.dumps([Hostile()]))
    pickle.loads((tmp_path / "answer").read_bytes())
    (tmp_path / "called").rmdir()
    with (tmp_path / "answer").open("rb") as planted, monkeypatch.context() as patched:
        patched.setattr(narrow._child, "stdout", planted)
        [first, *rest] = narrow.extract(GOOD[:3])
    assert not (tmp_path / "called").exists()
    assert [first, *rest] == extract_all(GOOD[:3], "cascade"), "a new child does the group again"


@pytest.mark.parametrize(
    ("page", "reason", "value"),
    [
        (NESTED, "extract_timeout", 1.0),
        (ATTRIBUTES, "extract_timeout", 1.0),
        (MANY_TAGS, "extract_memory", 200.0),
    ],
    ids=["200,000 nested elements", "400,000 attributes", "50 MB of tags"],
)
def test_a_page_that_breaks_the_child_costs_only_itself(narrow: Fence, page: bytes, reason: str, value: float) -> None:
    found = narrow.extract([*GOOD[:5], (page, None), *GOOD[5:]])
    refused = found.pop(5)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.value) == (reason, value)
    assert found == extract_all(GOOD, "cascade")


def test_a_page_within_wider_limits_gets_through() -> None:
    fence = Fence("cascade", 60.0, 4096)
    (found,) = fence.extract([(b"<p>" + b"many <b>small</b> tags " * 50_000, None)])
    fence.close()
    assert isinstance(found, Extracted)
    assert len(found.text) > 500_000


def test_other_work_on_the_processor_drops_no_page(narrow: Fence) -> None:
    page: Html = (b"<p>" + b"many <b>small</b> tags " * 40_000, None)
    began = time.process_time()
    extract_all([page], "cascade")
    limit = 3 * (time.process_time() - began)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # what starts from here shares one core
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(7)]
    fence = Fence("cascade", limit, 2048)
    try:
        fence.extract(GOOD[:1])
        began = time.monotonic()
        (found,) = fence.extract([page])
        waited = time.monotonic() - began
    finally:
        fence.close()
        for one in others:
            one.kill()
            one.wait()
        os.sched_setaffinity(0, cores)
    assert isinstance(found, Extracted)
    assert waited > limit


@pytest.mark.parametrize(
    ("work", "ends_with"),
    [("while True: pass", signal.SIGPROF), ("time.sleep(60)", signal.SIGALRM)],
    ids=["computing", "waiting"],
)
def test_a_child_that_computes_and_one_that_waits_are_ended(narrow: Fence, work: str, ends_with: int) -> None:
    program = f"import time\nfrom {fence_child.__name__} import set_clocks\nset_clocks(0.1)\n{work}"
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=30)
    assert done.returncode == -ends_with
    assert narrow._verdict(done.returncode) == Refused("extract_timeout", 1.0)


def test_a_child_that_was_killed_is_replaced(narrow: Fence) -> None:
    narrow.extract(GOOD[:1])
    assert narrow.child is not None
    os.kill(narrow.child, signal.SIGKILL)
    assert narrow.extract(GOOD[:3]) == extract_all(GOOD[:3], "cascade")


def test_an_engine_that_cannot_start_is_an_error_and_no_page_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StageError, match="engine no-such-engine of extraction does not start"):
        Fence("no-such-engine", 1.0, 200).extract(GOOD)
    assert "no-such-engine" in capfd.readouterr().err


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("page", [b"<p>short", NESTED], ids=["waiting", "hanging"])
def test_the_child_ends_when_its_parent_is_killed(page: bytes, tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(page)
    program = (
        "import sys, time, pathlib, threading\n"
        "from crawl2chat.pipelines.extraction.fence import Fence\n"
        "fence = Fence('cascade', 3.0, 500)\n"
        "fence.extract([(b'<p>first', None)])\n"
        "print(fence.child, flush=True)\n"
        "fence.extract([(pathlib.Path(sys.argv[1]).read_bytes(), None)])\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "page")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        assert alive(child)
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_the_child_imports_nothing_heavy() -> None:
    program = (
        "import sys, crawl2chat.pipelines.extraction.fence_child as child\n"
        "child.extract_all([(b'<p>text', None)], 'cascade')\n"
        "print(sorted({'ray', 'torch', 'spacy', 'pandas', 'pyarrow', 'datatrove', 'trafilatura'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_the_cascade_imports_numba() -> None:
    program = (
        "import sys, crawl2chat.pipelines.extract as extract, crawl2chat.pipelines.refine_inputs\n"
        "extract.extract(b'<p>text', None, 'resiliparse')\n"
        "print('numba' in sys.modules)\n"
        "extract.extract(b'<p>text', None)\n"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_ledger_names_the_limit() -> None:
    source = WarcSource(kind="warc", name="s", paths=["x"])
    filters = Filters(gopher_repetition=None, gopher_quality=None, c4=None, fineweb=None)
    settings = Extract(page_seconds=0.5, page_mb=500)
    refiner = Refiner(source, "x", "x", settings, Language(keep=[], threshold=0.0), filters)
    pages = [RawRecord(n, str(n), html=html) for n, html in enumerate([GOOD[0][0], NESTED, GOOD[1][0]])]
    kept, dropped, other = refiner.refine(pages)
    assert kept.kept
    assert other.kept
    assert (dropped.row["stage"], dropped.row["reason"], dropped.row["value"]) == ("extract", "extract_timeout", 0.5)


def test_an_engine_that_is_not_installed_is_named_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawl2chat.pipelines.extraction.fence.OPTIONAL", "no_such_package")
    with pytest.raises(StageError, match=r"no_such_package, which is not installed\n.*crawl2chat\[trafilatura\]"):
        open_fence("no_such_package", 1.0, 200)
