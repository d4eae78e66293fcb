"""From a source's `paths` to files, checked before anything starts.

A path is a local file, a glob, a URL that fsspec knows (`s3://…`, with globs), or `package:NAME/…` for a file inside
an installed Python package, which is found without importing the package.
"""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fsspec.core import url_to_fs

from ...core.credentials import without_credentials
from ...core.errors import InputError
from ...core.recipe import Recipe
from ...core.settings_sources import Access, CommonCrawlSource, CrawlSource, FileSource, TableSource
from .common_crawl import check_common_crawl
from .crawl.check import check_crawl
from .remote import Remote, check_address, is_remote
from .table import check_columns

PACKAGE = "package:"
EXTRA_OF_PACKAGE = {"gensim": "demo"}
PACK_FILES = 2000
REMOTE = Remote(Access())  # of paths: as patient as a common_crawl source, at any pace


def source_files(source: FileSource) -> list[str]:
    """All files of a source, sorted, each once. Raises InputError naming the key, the path and the fix."""
    return sorted(rooted_files(source))


def rooted_files(source: FileSource) -> dict[str, str]:
    """Each file of a source, and its path below the folder or pattern of the recipe that it was found by."""
    key, here = f"sources.{source.name}.paths", str(Path.cwd())
    found = {file: path for path in reversed(source.paths) for file in expand(path, key, here, source.endings)}
    files = {_absolute(file): (file, path) for file, path in sorted(found.items())}
    return {file: os.path.relpath(place, _root(path, file)) for place, (file, path) in files.items()}


def _root(path: str, file: str) -> str:
    """The folder that a path of the recipe names: itself, or what stands before a pattern, or a file's own."""
    if path == file or glob.has_magic(path):
        path = re.split(r"[*?\[]", path)[0].rpartition("/")[0] or "."
    return _absolute(path)


def packs(files: Sequence[str], limit: int) -> Iterator[list[str]]:
    """Files in groups of about `limit` bytes, in their order: many small ones make one unit."""
    pack: list[str] = []
    size = 0
    for file in files:
        pack.append(file)
        size += size_of(file)
        if size >= limit or len(pack) >= PACK_FILES:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack


def check_sources(recipe: Recipe) -> None:
    """Raise the error of the first source that cannot be read or crawled as it stands, before anything starts.

    InputError: files are missing, named twice, or have not the columns that the source names. RecipeError: see
    check_crawl.
    """
    for source in recipe.sources:
        if isinstance(source, CrawlSource):
            check_crawl(source)
        elif isinstance(source, CommonCrawlSource):
            check_common_crawl(source)
        if not isinstance(source, FileSource):
            continue
        files = source_files(source)
        spelling: dict[str, str] = {}
        for file, name in key_names(files).items():
            if (first := spelling.setdefault(name, file)) != file:
                raise InputError(f"sources.{source.name}.paths: {first} and {file} are one file", "name it once")
        if isinstance(source, TableSource):
            with open_binary(files[0]) as handle:
                check_columns(handle, files[0], source)


def stamps(recipe: Recipe) -> dict[str, str]:
    """Path to `size:time` of every input file outside the run: a changed input reruns what was made from it.

    An archived crawl of Common Crawl does not change: its settings stand for it.
    """
    sources = [source for source in recipe.sources if isinstance(source, FileSource)]
    return {file: stamp(file) for source in sources for file in source_files(source)}


def open_binary(file: str) -> BinaryIO:
    """Open one file of a source for reading; seekable."""
    address = resolve(file)
    return REMOTE.open(address) if is_remote(address) else Path(address.removeprefix("file://")).open("rb")


def size_of(file: str) -> int:
    fs, path = url_to_fs(resolve(file))
    return int(fs.size(path) or 0)


def key_names(files: Sequence[str]) -> dict[str, str]:
    """The name of each file that goes into its documents' doc_ids: independent of where the data lies on this machine.

    The file's own name; where two files of the source share one, the path below their common folder.
    """
    names = {file: PurePosixPath(without_credentials(file)).name for file in files}
    if len(set(names.values())) == len(names):
        return names
    places = {file: _absolute(file) for file in files}
    common = os.path.commonpath([PurePosixPath(place).parent for place in places.values()])
    return {file: os.path.relpath(place, common) for file, place in places.items()}


def _absolute(file: str) -> str:
    """Where a file lies, as a path from a root that local files, packages and remote addresses share."""
    elsewhere = file.startswith(PACKAGE) or "://" in file
    return os.path.normpath(f"/{file}" if elsewhere else Path.cwd() / file)


def resolve(file: str) -> str:
    """The address that fsspec opens. Raises InputError when a package is not installed, or credentials are missing."""
    check_address(file)
    if not file.startswith(PACKAGE):
        return file
    name, _, inside = file.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{file}: the Python package {name!r} is not installed", _install(name))
    return str(Path(spec.submodule_search_locations[0]) / inside)


def _install(name: str) -> str:
    extra = EXTRA_OF_PACKAGE.get(name)
    return f"pip install 'crawl2chat[{extra}]'" if extra else f"pip install {name}"


@functools.cache  # planning, checking and reading all ask; a glob over many files is listed once a command
def expand(path: str, key: str, here: str, endings: tuple[str, ...]) -> tuple[str, ...]:
    """The files of one path of the recipe's `key`. `here`: the working directory, which a relative path depends on.

    endings: of the files that a folder stands for.
    """
    try:
        address = resolve(path)
    except InputError as error:
        raise InputError(f"{key}: {error.message}", error.fix) from error
    pattern = glob.has_magic(path)
    try:
        fs, inside = url_to_fs(address)
        if not pattern:
            if fs.isfile(inside):
                return (path,)
            if not (endings and fs.isdir(inside)):
                raise InputError(f"{key}: no file at {path!r}", "correct the path, or put the file there")
            found = [str(hit) for hit in fs.find(inside) if str(hit).lower().endswith(endings)]
        else:
            found = [str(hit) for hit in fs.glob(inside) if fs.isfile(hit)]
    except (ImportError, ValueError, OSError) as error:  # what fsspec raises for addresses it cannot open
        raise InputError(f"{key}: {path!r} cannot be opened: {error}", "correct the address or its access") from error
    if not found:
        inside = "nothing matches" if pattern else f"no {', '.join(endings)} in"
        raise InputError(f"{key}: {inside} {path!r}", "correct the pattern, or put files there")
    if path.startswith(PACKAGE):
        root = str(Path(resolve(path[: path.index("/") + 1])))
        return tuple(f"{path[: path.index('/')]}/{os.path.relpath(hit, root)}" for hit in found)
    if "://" in path:
        return tuple(fs.unstrip_protocol(hit) for hit in found)
    return tuple(hit if Path(path).is_absolute() else os.path.relpath(hit) for hit in found)


def stamp(file: str) -> str:
    """`size:time` of a file; in place of the time what a remote place has instead."""
    fs, path = url_to_fs(resolve(file))
    info = fs.info(path)
    changed = next((info[key] for key in ("mtime", "ETag", "etag", "LastModified", "last_modified") if key in info), "")
    return f"{info.get('size', '')}:{changed}"
