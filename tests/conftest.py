"""Fixtures for all tests: one Ray session, the shared data folder."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("CRAWL2CHAT_SHARED", ROOT.parent / "shared"))


def loaded(file: Path) -> Any:
    """A module outside all packages, by its file: under its name in sys.modules, once."""
    if file.stem not in sys.modules:
        place = importlib.util.spec_from_file_location(file.stem, file)
        assert place is not None and place.loader is not None
        sys.modules[file.stem] = importlib.util.module_from_spec(place)
        place.loader.exec_module(sys.modules[file.stem])
    return sys.modules[file.stem]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Where a peer is absent, tests that compare with it skip, but never in CI: there nobody would see it."""
    report = yield
    skipped = call.excinfo if report.skipped and os.environ.get("CI") else None
    if skipped is not None and any(entry.name == "importorskip" for entry in skipped.traceback):
        report.outcome, report.longrepr = "failed", f"{skipped.value}; in CI it must be there: `make setup` installs it"
    return report


@pytest.fixture(scope="session")
def gold_pages() -> Any:
    """benchmarks/_gold.py: pages with gold text, which of them taught the cascade nothing, and scores."""
    return loaded(ROOT / "benchmarks" / "_gold.py")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ../shared/data with real files. Tests skip where it is absent, but never in CI."""
    data = SHARED / "data"
    if not data.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{data} is absent: CI must have it")
        pytest.skip(f"{data} is absent (it lies beside the repository, or where CRAWL2CHAT_SHARED points)")
    return data


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for the whole test session, started when the first test asks for it."""
    from crawl2chat.core.session import ray_session
    from crawl2chat.core.settings_training import Resources

    with ray_session(Resources(cpus=2), tmp_path_factory.mktemp("ray_logs")):
        yield


@pytest.fixture
def crawl_mirror(shared_data: Path, tmp_path: Path) -> Iterator[Any]:
    """A small copy of Common Crawl behind a web server that fails when it is told to: see mirror_server.py."""
    module = loaded(Path(__file__).with_name("mirror_server.py"))
    module.build_mirror(tmp_path / "mirror", shared_data / "warc-samples")
    with module.MirrorServer(tmp_path / "mirror").running() as server:
        yield server


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An S3 server as a process of its own: see store_server.py."""
    module = loaded(Path(__file__).with_name("store_server.py"))
    with module.running(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture
def bucket(store_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A folder of the test's own in the server's bucket, as a path."""
    from crawl2chat.core import local_copies, object_store
    from crawl2chat.core.remote_path import path_of

    for name, value in (store_server.variables | {"CRAWL2CHAT_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    object_store._store_of.cache_clear()
    local_copies._scratch.cache_clear()
    yield path_of(f"s3://bucket/{tmp_path.name}")
    object_store._store_of.cache_clear()
    local_copies._scratch.cache_clear()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium without a window, for the whole session: see browser.py. In CI it must be there."""
    module = loaded(Path(__file__).with_name("browser.py"))
    if module.program() is None and not os.environ.get("CI"):
        pytest.skip("no Chromium: apt-get install chromium")
    with module.browser() as devtools, module.tab(devtools) as tab:
        yield tab


@pytest.fixture(scope="session")
def documented_commands() -> dict[str, list[str]]:
    """The `crawl2chat …` lines in the bash blocks of README and docs, without comments, by page."""
    found: dict[str, list[str]] = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        found[page.name] = [shlex.join(shlex.split(x, comments=True)) for x in lines if x.startswith("crawl2chat ")]
    return found
