"""Many models, many tasks, at once: all chunks as Ray tasks, then the tables.

records/MODEL/TASK/SHOTS/NNNNNN.jsonl    what each model gave for each item (records.py)
results.json, results.parquet, items.parquet    (results.py)
units/    which chunks are done: an evaluation that was killed goes on with the others
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ..core.manifest import FileEntry, file_entry
from ..core.progress import Progress
from ..core.remote_path import path_of
from ..core.settings_evaluate import Evaluate
from ..core.settings_training import Resources
from ..core.unit_map import map_units
from .asking import Asking, askings
from .chunks import chunks_of, read_chunks, score_chunk
from .contamination import Flags, no_flags
from .fitting import check_fits
from .models import ModelFiles
from .results import Result
from .tables import item_rows, results_of, write_tables


def evaluate_models(
    models: Sequence[ModelFiles],
    settings: Evaluate,
    data: Mapping[str, str],
    folder: Path,
    resources: Resources,
    progress: Progress,
    flags: Flags = no_flags,
) -> tuple[list[Result], list[FileEntry]]:
    """Score every model on every task of the section; returns the results, and the files below `folder`.

    data: digests of the tasks' files (asking.data_digests). Raises InputError, before anything is scored, for what a
    model could not score.
    """
    asked = {model: asked_of(model, settings) for model in models}
    for model, some in asked.items():
        check_fits(model, some)
    both = [(model, asking) for model, some in asked.items() for asking in some]
    size, tokens = settings.chunk, settings.batch_tokens
    chunks = {(model, asking): chunks_of(model, asking, dict(data), size, tokens) for model, asking in both}
    work = partial(score_chunk, threads=resources.threads_per_worker)
    units = [one.unit() for some in chunks.values() for one in some]
    reports = map_units(work, units, folder, {}, progress, counting="items", needs=resources.of_task)
    results, items = [], []
    for (model, asking), some in chunks.items():
        records, flagged = read_chunks(folder, some), flags(path_of(asking.file))
        results += results_of(model.name, asking, records, flagged)
        items += item_rows(model.name, asking, records, flagged)
    tables = [file_entry(folder, path, rows) for path, rows in write_tables(folder, results, items)]
    return results, [*tables, *(entry for report in reports for entry in report.files)]


def asked_of(model: ModelFiles, settings: Evaluate) -> list[Asking]:
    """What the section asks a model: in plain words where it has no chat template."""
    chat = settings.chat and model.template is not None
    return [one.model_copy(update={"chat": chat}) for one in askings(settings)]
