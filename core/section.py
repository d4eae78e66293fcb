"""What every section of a recipe is built on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def misfit(part_name: str, part: int, whole_name: str, whole: int) -> tuple[str, str] | None:
    """What is wrong, and the fix, when `part` does not divide `whole`."""
    if whole % part == 0:
        return None
    nearest = min((n for n in range(1, whole + 1) if whole % n == 0), key=lambda n: abs(n - part))
    return f"{part_name} is {part}, which does not divide {whole_name} ({whole})", f"{part_name}={nearest} would"
