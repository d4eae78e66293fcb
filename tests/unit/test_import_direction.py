"""Imports point one way, heavy packages stay where they belong, and every module imports."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = {"dedup", "tokenize", "model"}
MAY_IMPORT = {
    "recipes": set(),
    "core": set(),
    **{folder: {"core"} for folder in DATA},
    "train": {"core", *DATA},
    "evaluate": {"core", *DATA, "train"},
    "tune": {"core", *DATA, "train"},
    "chat": {"core", *DATA, "train", "tune"},
    "serve": {"core", *DATA, "train", "chat"},
    "report": {"core", *DATA, "train", "evaluate", "tune"},
    "pipelines": {"core", *DATA, "train", "evaluate", "tune", "chat", "serve", "report"},
    "plan": {"core", *DATA, "train", "tune", "chat", "pipelines"},
    "": {
        "core",
        *DATA,
        "train",
        "evaluate",
        "tune",
        "chat",
        "serve",
        "report",
        "pipelines",
        "plan",
    },  # cli.py, __main__.py
}
RAY_OUTSIDE_STAGES = {  # beside *_stage.py: where plain functions meet Ray
    "core/meters.py",
    "core/placement.py",
    "core/session.py",
    "core/unit_map.py",
    "train/launcher.py",
    "train/rendezvous.py",
    "train/trainer.py",
    "tune/asha.py",
    "tune/nested.py",
    "tune/outcomes.py",
    "tune/schedulers.py",
    "tune/search.py",
    "tune/sweep.py",
    "tune/trial_run.py",
    "tune/watching.py",
    "pipelines/sources/crawl/actors.py",
    "pipelines/sources/pace_actor.py",
    "pipelines/job_client.py",
    "serve/deployment.py",
}
TORCH_FOLDERS = {"model", "train", "evaluate", "tune", "chat", "serve"}
LIGHT = ["cli", "pipelines.stages", "pipelines.execute", "pipelines.summary", "core.runner", "core.unit_map"]
LIGHT += ["plan.plan_verb", "pipelines.run_report", "pipelines.report_corpus", "report.facts", "report.page"]


def packages() -> list[Path]:
    """Folders of the package, as pyproject.toml lists them, relative to the root."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    return [Path(*name.split(".")[1:]) for name in listed]


MODULES = sorted(path.relative_to(ROOT).as_posix() for folder in packages() for path in (ROOT / folder).glob("*.py"))


def imports(source: str, module: str) -> Iterator[tuple[str, bool]]:
    """(absolute name, whether it is imported when the module is) of each import outside `if TYPE_CHECKING`."""
    tree = ast.parse(source)
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test).endswith("TYPE_CHECKING")
        for statement in branch.body
        for node in ast.walk(statement)
    }
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    package = ["crawl2chat", *Path(module).parent.parts]
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            # `from .. import core` names a folder of ours, `from .. import __version__` does not
            yield from ((f"{name}.{alias.name}", node not in inner) for alias in node.names)


def folder_of(name: str) -> str | None:
    """Top folder of one of our modules; None for others' modules and for names of the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "crawl2chat" and len(parts) > 1 and parts[1] in MAY_IMPORT else None


def faults(module: str, source: str) -> list[str]:
    """What is wrong with a module's imports."""
    folder = Path(module).parts[0] if "/" in module else ""
    found = []
    for name, _ in imports(source, module):
        target, heavy = folder_of(name), name.split(".")[0]
        if target is not None and target != folder and target not in MAY_IMPORT[folder]:
            found.append(f"{module} imports {name}: {folder or 'the root'} may not import {target}")
        if heavy == "ray" and not module.endswith("_stage.py") and module not in RAY_OUTSIDE_STAGES:
            found.append(f"{module} imports {name}, but is no wiring module")
        if heavy == "torch" and folder not in TORCH_FOLDERS:
            found.append(f"{module} imports {name}, which {folder or 'the root'} may not")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("crawl2chat"):
            found.append(f"{module} imports {node.module} absolutely: imports between our folders are relative")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    assert faults(module, (ROOT / module).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core/files.py", "from ..train.loop import train"),
        ("core/files.py", "from .. import train"),
        ("dedup/exact.py", "from ..tokenize.bpe import Tokenizer"),
        ("model/config.py", "def f():\n    from ..dedup import exact"),
        ("train/loop.py", "from ..tune.search import search"),
        ("pipelines/sources/warc.py", "from ...cli import main\nimport ray"),
        ("dedup/minhash.py", "import ray.data"),
        ("tokenize/shards.py", "from torch import nn"),
        ("core/files.py", "from crawl2chat.core import errors"),
    ],
)
def test_the_guard_finds_what_it_is_for(module: str, source: str) -> None:
    assert faults(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("train/loop.py", "import torch\nfrom ..model.config import ModelConfig\nfrom .world import World"),
        ("dedup/dedup_stage.py", "def f():\n    import ray.data"),
        ("core/stage.py", "from .. import __version__"),
        ("core/recipe.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
    ],
)
def test_the_guard_leaves_the_rest_alone(module: str, source: str) -> None:
    assert faults(module, source) == []


def test_every_module_belongs_to_a_listed_package() -> None:
    """A folder that pyproject.toml forgets would be missing from the wheel."""
    ours = {path.parent for folder in MAY_IMPORT if folder for path in (ROOT / folder).rglob("*.py")}
    assert {path.relative_to(ROOT) for path in ours} == {folder for folder in packages() if folder.parts}


def test_tokenize_has_no_init() -> None:
    """With one, and the root on sys.path, it would shadow the standard library's tokenize."""
    assert not (ROOT / "tokenize" / "__init__.py").exists()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import tokenize; print(tokenize.__file__)"
    done = subprocess.run([sys.executable, "-c", code, ROOT], capture_output=True, text=True, check=True)
    assert not done.stdout.startswith(str(ROOT))


def test_no_module_is_named_like_a_standard_one() -> None:
    named = {path.stem: path for path in map(Path, MODULES)}
    assert {named[stem].as_posix() for stem in named.keys() & sys.stdlib_module_names} == set()
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert folders & sys.stdlib_module_names == set()


def run_python(code: str, cwd: Path) -> str:
    """Standard output of a fresh interpreter in another folder."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports(tmp_path: Path) -> None:
    names = [
        ".".join(["crawl2chat", *Path(module).with_suffix("").parts]).removesuffix(".__init__") for module in MODULES
    ]
    assert len(names) > 50
    code = f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)\nprint('all')"
    assert run_python(code, tmp_path) == "all\n"


def test_a_finished_run_pays_for_neither_ray_nor_torch(tmp_path: Path) -> None:
    """What `run`, `status` and `--dry-run` import, imported: no heavy package comes along, by whatever way."""
    lines = [f"import crawl2chat.{name}" for name in LIGHT]
    heavy = run_python("\n".join([*lines, "import sys; print({'ray', 'torch'} & set(sys.modules))"]), tmp_path)
    assert heavy == "set()\n"
