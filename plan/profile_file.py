"""profile.json: what was measured of a recipe on a machine, for `crawl2chat plan --profile`.

    {profile_version, made: {recipe, code_version, date, processors, what, sources}, data: Profile,
     crawl: Line | null, trainings: {STAGE: Training}, others: {STAGE: seconds}}

`data` is that of run_profile.py, `trainings` that of training_profile.py. `crawl`: seconds by the pages that were
fetched. `others` are stages whose time is taken as it was measured. A profile of another version is refused: what a
figure means may have changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..core.errors import ContractError, InputError
from ..core.files import write_json
from .fitted import Line
from .run_profile import Profile
from .training_profile import Training

VERSION = 1
DEFAULT = Path(__file__).parent / "default_profile.json"


@dataclass(frozen=True)
class Measured:
    """The content of profile.json."""

    made: dict[str, Any]
    data: Profile | None = None
    crawl: Line | None = None
    trainings: dict[str, Training] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """What it is, in a line."""
        return f"{self.made.get('what', 'measured')}, {self.made.get('date', 'at an unknown time')}"


def write_profile(path: Path, measured: Measured) -> None:
    write_json(path, {"profile_version": VERSION, **asdict(measured)})


def read_measured(path: Path) -> Measured:
    """A profile.json. Raises InputError when it is none, ContractError when another version wrote it."""
    again = "measure again: crawl2chat plan RECIPE --measure"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        version = raw.pop("profile_version")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"--profile {path}: not a profile ({type(error).__name__}: {error})", again) from error
    if version != VERSION:
        raise ContractError(f"--profile {path}: of version {version!r}, this program reads {VERSION}", again)
    try:
        return TypeAdapter(Measured).validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"--profile {path}: {where}: {first['msg']}", again) from error
