"""Where runs may lie: folders of this machine, or object stores, by addresses without credentials."""

from __future__ import annotations

import importlib.util

from .credentials import without_credentials
from .errors import RecipeError
from .remote_path import PACKAGES

KEYS = "credentials come from the environment alone: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, … for s3"


def check_storage(address: str) -> None:
    """Raise RecipeError for an address that no run can lie at, or that holds credentials."""
    protocol, colons, rest = address.partition("://")
    if not colons:
        return
    shown = without_credentials(address)
    if shown != address or any(one in rest for one in "@?#"):
        raise RecipeError(f"storage {shown.partition('?')[0]} holds credentials or options", f"take them out: {KEYS}")
    if protocol not in PACKAGES:
        known = ", ".join(f"{one}://bucket/folder" for one in PACKAGES)
        raise RecipeError(f"storage {address} is in no store that runs can lie in", f"give a folder, or {known}")
    if not rest.partition("/")[0] or "//" in rest:
        raise RecipeError(f"storage {address} names no bucket or folder", f"for example {protocol}://bucket/runs")
    if importlib.util.find_spec(PACKAGES[protocol]) is None:
        raise RecipeError(
            f"storage {address} needs the package {PACKAGES[protocol]}, which is not installed",
            f"pip install {PACKAGES[protocol]}, here and on all machines of the cluster; or give a folder",
        )
