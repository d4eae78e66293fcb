"""A run's folder and its lock.

RUN/recipe.yaml      the recipe with all defaults written out, without credentials
RUN/STAGE/           one folder a stage: manifest.json when finished, started.json before
RUN/STAGE.next/      a stage that runs again, until it takes the place of what was there (attempt.py)
RUN/logs/            our log, and Ray's; events.jsonl (run_events.py)
RUN/lock             held by the process that works on the run (lock.py)
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from .credentials import values_without_credentials
from .errors import InputError, RecipeError
from .files import write_text
from .lock import hold
from .manifest import Manifest, read_manifest
from .recipe import Recipe, load_recipe
from .remote_path import RemotePath, path_of
from .run_events import RunEvents
from .settings_storage import check_storage


class Run:
    """One run: its recipe and its folder (absolute). Raises StoreError when that is in a store that is out of reach."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = recipe.folder.absolute()
        if isinstance(self.folder, RemotePath):
            self.folder.store.check(self.folder.key)
        self.events = RunEvents(self.folder / "logs", recipe.name)

    @classmethod
    def open(cls, folder: str | Path, overrides: tuple[str, ...] = ()) -> Run:
        """The run that lives in this folder, with its own recipe. Raises InputError if there is none."""
        where = path_of(folder)
        if isinstance(where, RemotePath):
            check_storage(str(where))
            where.store.check(where.key)
        path = where / "recipe.yaml"
        if not path.is_file():
            raise InputError(
                f"{folder} is not a run: it has no recipe.yaml", "give the folder that `crawl2chat run` printed"
            )
        for override in overrides:
            if override.partition("=")[0] in ("name", "storage"):
                raise RecipeError(f"--set {override} does not go with --run", "give the recipe instead of --run")
        absolute = where.resolve()
        place = {"storage": str(absolute.parent), "name": absolute.name}
        return cls(load_recipe(path, overrides).model_copy(update=place))

    @property
    def command(self) -> str:
        """How a user brings this run up to date."""
        known = (self.folder / "recipe.yaml").exists()
        return f"crawl2chat run {f'--run {self.folder}' if known else 'RECIPE'}"

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.folder / name

    def manifest(self, stage: str) -> Manifest | None:
        return read_manifest(self.stage(stage))

    def need(self, stage: str) -> Manifest:
        """Manifest of a stage that must be finished."""
        manifest = self.manifest(stage)
        if manifest is None:
            raise InputError(f"{self.stage(stage)} is not finished", f"run it first: {self.command}")
        return manifest

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run for this process. Entering it raises BusyError when another process holds it."""
        return hold(self.folder)

    def written_recipe(self) -> str | None:
        """The recipe in the run's folder, as it is written."""
        path = self.folder / "recipe.yaml"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def write_recipe(self, text: str | None = None) -> None:
        """Write the recipe down in the run's folder, or one that was written before. The caller holds the lock.

        `***` stands in place of credentials: what is read with them needs the recipe that holds them again.
        """
        text = text or self.recipe.to_yaml(values_without_credentials)
        if self.written_recipe() != text:
            write_text(self.folder / "recipe.yaml", text)
