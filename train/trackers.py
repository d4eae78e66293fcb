"""Where the course of a run is shown besides metrics.jsonl: TensorBoard, Weights & Biases, MLflow, by the recipe.

Each shows all numbers of a row at its step. W&B and MLflow work without a network too: WANDB_MODE=offline, and a folder
or an sqlite file as `mlflow`. A resumed run goes on in the same W&B or MLflow run, whose id stands beside.

    tensorboard/           events
    wandb/, tracker_ids.json    W&B's files; {"wandb": id, "mlflow": id}
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from ..core.disk import disk_of
from ..core.errors import RecipeError
from ..core.files import folder_to_keep, keep_files, write_json
from ..core.settings_watching import Watching

IDS = "tracker_ids.json"


class Tracker(Protocol):
    """Shows rows, oldest first."""

    def write(self, row: dict[str, Any]) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


def check_trackers(watching: Watching) -> None:
    """Raises RecipeError when a package that the recipe asks for is not installed."""
    for name, wanted in (("wandb", watching.wandb), ("mlflow", watching.mlflow)):
        if wanted and importlib.util.find_spec(name) is None:
            raise RecipeError(
                f"watching.{name} is {wanted!r}, but {name} is not installed",
                f"install crawl2chat[{name}], or leave watching.{name} out",
            )


def open_trackers(folder: Path, name: str, step: int, watching: Watching) -> list[Tracker]:
    """The trackers of the run `name` that has done `step` steps."""
    opened: list[Tracker] = []
    if watching.tensorboard:
        opened.append(TensorBoard(folder, step))
    if watching.wandb:
        opened.append(WeightsAndBiases(folder, name, watching.wandb))
    if watching.mlflow:
        opened.append(MLflow(folder, name, watching.mlflow))
    return opened


class TensorBoard:
    """Events behind the step that a run resumes from are hidden."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # here: it loads TensorBoard

        self._kept = ExitStack()
        self._folder = folder / "tensorboard"
        self._place = self._kept.enter_context(folder_to_keep(self._folder))
        self._events = SummaryWriter(str(self._place), purge_step=step + 1 if step else None)

    def write(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, row["step"])

    def sync(self) -> None:
        self._events.flush()
        keep_files(self._place, self._folder)

    def close(self) -> None:
        self._events.close()
        self._kept.close()


class WeightsAndBiases:
    """The project's run; steps that come again after a resume are W&B's to drop, which takes only rising steps."""

    def __init__(self, folder: Path, name: str, project: str) -> None:
        wandb: Any = importlib.import_module("wandb")
        known = _ids(folder).get("wandb")
        self._run = wandb.init(project=project, name=name, id=known, resume="allow", dir=str(disk_of(folder)))
        _remember(folder, "wandb", self._run.id)

    def write(self, row: dict[str, Any]) -> None:
        self._run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])

    def sync(self) -> None:
        """It sends by itself."""

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """The run in the experiment `crawl2chat` of a tracking server, folder or database."""

    def __init__(self, folder: Path, name: str, uri: str) -> None:
        mlflow: Any = importlib.import_module("mlflow")
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        known = _ids(folder).get("mlflow")
        if known is None:
            experiment = self._client.get_experiment_by_name("crawl2chat")
            number = experiment.experiment_id if experiment else self._client.create_experiment("crawl2chat")
            known = self._client.create_run(number, run_name=name).info.run_id
            _remember(folder, "mlflow", known)
        self._id: str = known
        self._client.update_run(self._id, status="RUNNING")

    def write(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step":
                self._client.log_metric(self._id, name, float(value), step=row["step"])

    def sync(self) -> None:
        """Every number is stored when it is given."""

    def close(self) -> None:
        self._client.set_terminated(self._id)


def _ids(folder: Path) -> dict[str, str]:
    path = folder / IDS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _remember(folder: Path, name: str, one: str) -> None:
    write_json(folder / IDS, _ids(folder) | {name: one})
