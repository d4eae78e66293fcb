"""The wheel that travels with a job: complete, installable without dependencies, named after its content."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.pipelines import job_wheel
from crawl2chat.pipelines.job_wheel import package_files, write_wheel

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source tree that `write_wheel` packs instead of this one."""
    copy = tmp_path / "source"
    for name in ["pyproject.toml", "README.md", "LICENSE", *package_files()]:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    monkeypatch.setattr(job_wheel, "PACKAGE", copy)
    return copy


def test_it_holds_what_the_build_tool_would_pack(copied: Path, tmp_path: Path) -> None:
    (copied / "README.md").touch()
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, copied],
        check=True,
    )
    [built] = tmp_path.glob("crawl2chat-*.whl")

    def modules(wheel: Path) -> dict[str, int]:
        entries = zipfile.ZipFile(wheel).infolist()
        return {entry.filename: entry.CRC for entry in entries if entry.filename.startswith("crawl2chat/")}

    (tmp_path / "ours").mkdir()
    assert modules(write_wheel(tmp_path / "ours")) == modules(built)


def test_pip_installs_it_alone(tmp_path: Path) -> None:
    """As Ray installs it: with --target, and with no index to take dependencies from."""
    wheel = write_wheel(tmp_path)
    target = tmp_path / "target"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", str(wheel), f"--target={target}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in target.iterdir()) == ["crawl2chat", "crawl2chat-0.1.0.dist-info"]
    assert not (target / "crawl2chat" / "tokenize" / "__init__.py").exists()
    code = "import crawl2chat.tokenize.bpe, crawl2chat.core.recipe as r; print(r.load_recipe('tiny').name, r.__file__)"
    ran = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[str(target), *sys.path]}; {code}"],
                         capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert ran.stdout.split() == ["tiny", str(target / "crawl2chat/core/recipe.py")], ran.stderr


def test_its_name_follows_its_content(copied: Path, tmp_path: Path) -> None:
    before = write_wheel(tmp_path)
    bytes_before = before.read_bytes()
    (copied / "cli.py").touch()
    assert write_wheel(tmp_path) == before
    assert before.read_bytes() == bytes_before, "the same content is the same file"
    with (copied / "cli.py").open("a") as handle:
        handle.write("# edited\n")
    assert write_wheel(tmp_path).name != before.name


def test_without_sources_or_installation_it_says_so(
    tmp_path: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "pyproject.toml").unlink()
    monkeypatch.setattr(job_wheel, "files", lambda name: [])
    with pytest.raises(InputError, match="no pyproject.toml"):
        write_wheel(tmp_path)
