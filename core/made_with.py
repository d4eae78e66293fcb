"""What a stage is made with, for its manifest: versions, and the processors that it holds while it runs.

    {versions: {crawl2chat, python, ray, torch, …: version}, system, processors: {CPU: number, GPU: number}}

Versions are those of the process that runs the stage; Ray wants the same Python and Ray of all its workers. Libraries
that are not installed are left out. Nothing that is made depends on it: what does stands in the fingerprint.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .code_version import code_version

LIBRARIES = (
    "ray", "torch", "pyarrow", "numpy", "tokenizers", "transformers", "datatrove", "fasttext-community", "resiliparse",
)  # fmt: skip


def made_with(processors: Mapping[str, float]) -> dict[str, Any]:
    """`processors`: what Ray has, or what a training's workers hold of it."""
    return {
        "versions": dict(versions()),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": {kind: float(number) for kind, number in processors.items() if number},
    }


@cache
def versions() -> Mapping[str, str]:
    """Of this process; crawl2chat's with the commit where it runs from a checkout."""
    found = {"crawl2chat": code_version(), "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
