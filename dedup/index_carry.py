"""What a new index takes over from the one that its run added to, and the list of its files.

the old index  ->  index/: sketches and whole partitions as links, partitions of which there are more now by splitting

Workers link and split. A linked file's bytes are what they were, and so is its entry: it is not read to be hashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import digest, link_or_copy, write_json
from ..core.manifest import FileEntry, file_entry
from ..core.remote_path import path_of
from ..core.units import Unit, UnitReport
from .index import FILES_FILE, INDEX_FILE, TABLES, part_file, read_files, read_index
from .index_build import of_part
from .tables import write_arrow

FILES_A_UNIT = 16


def carry_units(old: Path | None, partitions: int, written: dict[str, set[int]]) -> list[Unit]:
    """What is left to take over. written: for `keys` and `seen` the partitions to which the run added rows."""
    entries = {} if old is None else {entry.path: entry for entry in read_files(old)}
    whole = old is not None and read_index(old)["partitions"] == partitions
    links = [entry for path, entry in sorted(entries.items()) if path.startswith("sketches/")]
    parts: list[tuple[str, int]] = []
    for name in TABLES:
        left = [part for part in range(partitions) if part not in written[name]]
        if whole:
            links += [entries[part_file(Path(), name, part).as_posix()] for part in left]
        else:
            parts += [(name, part) for part in left]
    specs = [{"links": [entry.model_dump() for entry in some]} for some in _cut(links)]
    specs += [{"parts": some} for some in _cut(parts)]
    return [Unit(name=f"carry-{number:05d}", spec=spec) for number, spec in enumerate(specs)]


def carry_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: link the files, or write the partitions, that the unit names. config: index (or null), partitions."""
    old = path_of(config["index"]) if config["index"] else None
    files = [
        _link(FileEntry.model_validate(one), path_of(config["index"]), folder) for one in unit.spec.get("links", ())
    ]
    for name, part in unit.spec.get("parts", ()):
        table = TABLES[name].empty_table() if old is None else of_part(old, name, part, config["partitions"])
        path = part_file(folder / "index", name, part)
        write_arrow(path, table)
        files.append(file_entry(folder, path, table.num_rows))
    return UnitReport(name=unit.name, files=files, counters={"files": len(files)})


def _link(entry: FileEntry, old: Path, folder: Path) -> FileEntry:
    """Raises InputError when the file is no longer what the old index says of it."""
    path = old / entry.path
    size = path.stat().st_size if path.is_file() else None
    if size != entry.bytes:
        raise InputError(
            f"{path} {'is gone' if size is None else f'has {size:,} bytes'}, of {entry.bytes:,} by {old / FILES_FILE}",
            "restore the index from a copy, or make it anew",
        )
    link_or_copy(path, folder / "index" / entry.path)
    return entry.model_copy(update={"path": f"index/{entry.path}"})


def finish(stage: Path, made: dict[str, Any], entries: Iterable[FileEntry]) -> list[FileEntry]:
    """Write files.json and index.json: `made`, and a digest of all files. Gives the index's files for the manifest.

    entries: of all other files of the index, relative to the stage's folder, from those who wrote them.
    """
    files = sorted(entries, key=lambda entry: entry.path)
    listed = [entry.model_copy(update={"path": entry.path.removeprefix("index/")}) for entry in files]
    whole = digest([(entry.path, entry.sha256) for entry in listed])
    folder = stage / "index"
    write_json(folder / FILES_FILE, [entry.model_dump() for entry in listed])
    write_json(folder / INDEX_FILE, made | {"digest": whole})
    return [*files, *(file_entry(stage, folder / name, 0) for name in (FILES_FILE, INDEX_FILE))]


def _cut(items: Sequence[Any]) -> list[list[Any]]:
    return [list(items[at : at + FILES_A_UNIT]) for at in range(0, len(items), FILES_A_UNIT)]
