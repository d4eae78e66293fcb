"""Files from elsewhere, given to what reads them: nothing that they name is called, and nothing is written beside.

Checkpoints, searches, pages, models and templates have tests of their own: docs/security.md names them.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from crawl2chat.cli import main
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.settings_sources import BooksSource
from crawl2chat.pipelines.decontaminate_index import Index
from crawl2chat.pipelines.reading import read, units


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = str(witness)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.witness,)


def yaml_that_calls(witness: Path) -> str:
    text = f"!!python/object/apply:os.mkdir [{witness}]"
    yaml.load(text, Loader=yaml.UnsafeLoader)  # it does what it is for
    witness.rmdir()
    return text


def test_a_recipe_calls_nothing(tmp_path: Path) -> None:
    witness = tmp_path / "called"
    text = yaml_that_calls(witness)
    file = tmp_path / "r.yaml"
    for recipe in (text, f"name: r\nsources: []\nstorage: {text}", "name: !!python/name:os.system\nsources: []"):
        file.write_text(recipe)
        with pytest.raises(RecipeError, match="not readable as YAML"):
            load_recipe(file)
    with pytest.raises(RecipeError, match="not a YAML value"):
        load_recipe("tiny", [f"storage={text}"])
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(text)
    assert main(["status", "--run", str(run)]) == 2
    assert not witness.exists()


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", "a/b", ""])
def test_names_do_not_lead_out_of_a_folder(name: str) -> None:
    for override in (f"name='{name}'", f"sources.web.name='{name}'"):
        with pytest.raises(RecipeError):
            load_recipe("tiny", [override])


def test_an_archive_writes_nothing_wherever_its_names_lead(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "books"
    folder.mkdir(parents=True)
    story = b"It was a dark and stormy night, and the rain fell in torrents.\n" * 40
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        for name in ("../escaped.txt", "../../escaped.txt", f"{tmp_path}/absolute.txt", "plain.txt"):
            archive.writestr(name, story)
    source = {"kind": "books", "name": "b", "paths": [str(folder)]}
    recipe = Recipe.model_validate({"name": "r", "sources": [source]})
    [books] = recipe.sources
    assert isinstance(books, BooksSource)
    before = sorted(tmp_path.rglob("*"))
    crawl: object = None
    found = [item for unit in units(recipe, folder, crawl) for item in read(books, unit.spec, 1 << 20)]  # type: ignore[arg-type]
    assert len(found) == 4, "their texts are read"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_an_array_of_a_run_holds_no_pickle(tmp_path: Path, version: tuple[int, int] | None) -> None:
    witness, file = tmp_path / "called", tmp_path / "hashes.npy"
    with file.open("wb") as out:
        np.lib.format.write_array(out, np.array([Hostile(witness)], dtype=object), version)
    np.load(file, allow_pickle=True)
    witness.rmdir()
    with pytest.raises(ValueError, match="Python objects|allow_pickle"):
        Index(tmp_path)
    assert not witness.exists()
