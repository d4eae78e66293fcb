"""Many models, many tasks, at once: all chunks as Ray tasks, then the tables.

records/MODEL/TASK/NNNNNN.jsonl    what each model gave for each item (records.py)
results.json, results.parquet, items.parquet    (results.py)
units/    which chunks are done: an evaluation that was killed goes on with the others
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..core.manifest import FileEntry, file_entry
from ..core.progress import Progress
from ..core.settings_evaluate import Evaluate
from ..core.settings_training import Resources
from ..core.unit_map import map_units
from .asking import askings
from .chunks import chunks_of, read_chunks, score_chunk
from .models import ModelFiles
from .results import Result
from .tables import item_rows, results_of, write_tables

Flags = Callable[[Path], set[int] | None]  # the contaminated rows of a task's file, None where nobody looked


def evaluate_models(
    models: Sequence[ModelFiles],
    settings: Evaluate,
    data: Mapping[str, str],
    folder: Path,
    resources: Resources,
    progress: Progress,
    flags: Flags = lambda file: None,
) -> tuple[list[Result], list[FileEntry]]:
    """Score every model on every task of the section; returns the results, and the files below `folder`.

    data: digests of the tasks' files (asking.data_digests).
    """
    both = [(model, asking) for model in models for asking in askings(settings)]
    size, tokens = settings.chunk, settings.batch_tokens
    chunks = {(model, asking): chunks_of(model, asking, dict(data), size, tokens) for model, asking in both}
    needs = {"num_cpus": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        needs["num_gpus"] = resources.gpus_per_worker
    work = partial(score_chunk, threads=resources.threads_per_worker)
    units = [one.unit() for some in chunks.values() for one in some]
    reports = map_units(work, units, folder, {}, progress, counting="items", needs=needs)
    results, items = [], []
    for (model, asking), some in chunks.items():
        records, flagged = read_chunks(folder, some), flags(Path(asking.file))
        results += results_of(model.name, asking, records, flagged)
        items += item_rows(model.name, asking, records, flagged)
    tables = [file_entry(folder, path, rows) for path, rows in write_tables(folder, results, items)]
    return results, [*tables, *(entry for report in reports for entry in report.files)]
