"""What an hour costs, from a small YAML table (prices.yaml, or one of the user's), and from the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import InputError
from ..core.settings_training import Resources

SHIPPED = Path(__file__).parent / "prices.yaml"


class Prices(BaseModel):
    """Of an hour of one CPU, of one GPU by name, and of a month of 1 GB; no key of the file may be unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    currency: str = Field(min_length=1, max_length=8)
    cpu_hour: float = Field(ge=0)
    gpu_hour: dict[str, float] = Field(default_factory=dict)
    storage_gb_month: float = Field(default=0.0, ge=0)

    def changed(self, resources: Resources) -> Prices:
        """With the recipe's own prices, where it has them: its GPU's price is that of every GPU."""
        given: dict[str, Any] = {}
        if resources.price_per_cpu_hour is not None:
            given["cpu_hour"] = resources.price_per_cpu_hour
        if resources.price_per_gpu_hour is not None:
            given["gpu_hour"] = dict.fromkeys(self.gpu_hour, resources.price_per_gpu_hour)
        return self.model_copy(update=given | ({"currency": resources.currency} if given else {}))

    def gpu(self, name: str) -> float:
        """Of an hour of this GPU. Raises InputError where the table does not have it."""
        if name.lower() not in self.gpu_hour:
            raise InputError(
                f"no price for an hour of {name}: the table has {', '.join(self.gpu_hour) or 'no GPU'}",
                f"add it to a copy of {SHIPPED.name} under gpu_hour, and name the copy with --prices",
            )
        return self.gpu_hour[name.lower()]


def read_prices(path: Path | None = None) -> Prices:
    """The table of this file, or the shipped one. Raises InputError naming the file, the key and the value."""
    file = path or SHIPPED
    fix = f"take {SHIPPED} for a pattern"
    try:
        found = Prices.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--prices {file}: {error}", fix) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"--prices {file}: {key}: {first['msg']} ({first['input']!r})", fix) from error
    for name, price in found.gpu_hour.items():
        if not price >= 0:
            raise InputError(f"--prices {file}: gpu_hour.{name} is {price}", "give a price of at least 0")
    return found
