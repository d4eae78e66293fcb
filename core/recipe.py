"""A recipe: one whole run as YAML, read, overridden with --set, and checked as a whole before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from .errors import RecipeError
from .remote_path import path_of
from .settings_alignment import Align
from .settings_cleaning import Decontaminate, Paragraphs, Spans
from .settings_data import (
    CrawlSource,
    Dedup,
    Extract,
    Filters,
    Language,
    Section,
    Shards,
    Source,
    Tokenizer,
)
from .settings_evaluate import Evaluate
from .settings_model import Model
from .settings_quality import Classifier, Pii, Toxicity
from .settings_storage import check_storage
from .settings_training import Finetune, Instructions, Mixture, Resources, Sampling, Train
from .settings_tune import Tune
from .settings_watching import Watching
from .training_fit import check_training

SHIPPED = Path(__file__).parent.parent / "recipes"


class Recipe(Section):
    """The whole of a run. A section that is left out has its defaults; without `instructions` and `finetune.data` there
    is no fine-tuning, without `align` no alignment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="of the run, and of its folder in `storage`")
    storage: str = Field(
        default="runs",
        description="folder that holds the runs, relative to the working directory; or s3://bucket/folder, gs://…",
    )
    seed: int = Field(default=17, ge=0, lt=1 << 63)
    sources: list[Source] = Field(min_length=1)
    extract: Extract = Extract()
    language: Language = Language()
    filters: Filters = Filters()
    toxicity: Toxicity | None = None
    classifiers: list[Classifier] = Field(default_factory=list)
    pii: Pii | None = Pii()
    dedup: Dedup = Dedup()
    spans: Spans | None = None
    paragraphs: Paragraphs | None = None
    decontaminate: Decontaminate = Decontaminate()
    tokenizer: Tokenizer = Tokenizer()
    shards: Shards = Shards()
    model: Model = Model()
    base: str | None = Field(
        default=None,
        description="folder of an imported model, to be fine-tuned in place of one that is pretrained here",
    )
    train: Train = Train()
    mixture: Mixture | None = None
    instructions: Instructions | None = None
    finetune: Finetune = Finetune()
    align: Align | None = None
    evaluate: Evaluate | None = None
    sampling: Sampling = Sampling()
    tune: Tune = Tune()
    watching: Watching = Watching()
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        check_storage(self.storage)
        if wrong := self.model.fault():
            raise ValueError("; ".join(wrong))
        check_training(self.train, self.finetune, self.align, self.resources)
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sources: the name {twice[0]!r} is used twice; give each source its own name")
        for source in self.sources:
            if isinstance(source, CrawlSource) and not source.seeds and source.site is None:
                raise ValueError(f"sources.{source.name}.seeds is empty: nothing to crawl; give at least one URL")
        if self.mixture is not None:
            _numbers_each(self.mixture.parts, names)
        if self.shards.early is not None:
            _may_begin_early(self.mixture is not None, self.base is not None)
        scores = [one.name for one in self.classifiers]
        if twice := sorted({name for name in scores if scores.count(name) > 1}):
            raise ValueError(f"classifiers: the name {twice[0]!r} is used twice; give each classifier its own name")
        self.dedup.order(scores)
        if self.instructions is not None and self.instructions.source not in names:
            raise ValueError(
                f"instructions.source is {self.instructions.source!r}, but the sources are {names}; name one of these"
            )
        if self.align is not None and not self.finetuned:
            raise ValueError(
                "align is given, but there is nothing to fine-tune on; add instructions: {source: NAME} or "
                "finetune.data, or set align: null"
            )
        if self.align is not None and self.align.data.from_instructions and self.instructions is None:
            raise ValueError(
                "align.data.from_instructions is true, but there are no instructions; add instructions: {source: NAME}"
            )
        if self.evaluate is not None and "finetune" in self.evaluate.models and not self.finetuned:
            raise ValueError(
                "evaluate.models names finetune, but nothing is fine-tuned; take it out of evaluate.models"
            )
        return self

    @property
    def finetuned(self) -> bool:
        """Whether the run has a stage `finetune`."""
        return self.instructions is not None or self.finetune.data is not None

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return path_of(self.storage) / self.name

    def crawl_sources(self) -> list[CrawlSource]:
        return [source for source in self.sources if isinstance(source, CrawlSource)]

    def to_yaml(self, shown: Callable[[Any], Any] = lambda values: values) -> str:
        """The recipe with every default written out; loads to an equal recipe. `shown` may take something out."""
        return yaml.safe_dump(shown(self.model_dump(mode="json")), sort_keys=False)


def load_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe file (or the name of a shipped one), apply `section.key=value` overrides, check it as a whole.

    Raises RecipeError naming the file, the key, the value and the fix.
    """
    file = path_of(path)
    if not file.exists() and (SHIPPED / f"{path}.yaml").exists():
        file = SHIPPED / f"{path}.yaml"
    if not file.is_file():
        shipped = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
        raise RecipeError(f"no recipe at {path}", f"give a YAML file, or one of the shipped recipes: {shipped}")
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is not readable as YAML: {error}", "correct the file's syntax") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{file} holds {type(raw).__name__}, not a mapping of sections", "see recipes/tiny.yaml")
    for override in overrides:
        _apply(raw, override)
    try:
        return _rooted(Recipe.model_validate(raw))
    except ValidationError as error:
        raise _explain(file, raw, error) from error


def absolute_path(path: str) -> str:
    """A local path made absolute; `package:…` and URLs as they are."""
    return path if "://" in path or path.startswith("package:") else str(Path(path).absolute())


def _rooted(recipe: Recipe) -> Recipe:
    """Local inputs by absolute paths: a run means the same from any folder that a command is given in."""
    sources = [source.rooted(absolute_path) for source in recipe.sources]
    sets = [
        one.model_copy(update={"paths": [absolute_path(path) for path in one.paths]})
        for one in recipe.decontaminate.sets
    ]
    made = {
        "sources": sources,
        "decontaminate": recipe.decontaminate.model_copy(update={"sets": sets}),
        "classifiers": [one.rooted(absolute_path) for one in recipe.classifiers],
        "filters": recipe.filters.rooted(absolute_path),
        "dedup": recipe.dedup.rooted(absolute_path),
        "toxicity": recipe.toxicity and recipe.toxicity.rooted(absolute_path),
        "tokenizer": recipe.tokenizer.rooted(absolute_path),
        "base": recipe.base and absolute_path(recipe.base),
        "train": recipe.train.rooted(absolute_path),
        "finetune": recipe.finetune.rooted(absolute_path),
        "align": recipe.align and recipe.align.rooted(absolute_path),
        "evaluate": recipe.evaluate and recipe.evaluate.rooted(absolute_path),
    }
    return recipe.model_copy(update=made)


def _numbers_each(parts: Collection[str], sources: list[str]) -> None:
    """Raise ValueError when a mixture names what is no source, or leaves one unnamed."""
    if unknown := sorted(set(parts) - set(sources)):
        raise ValueError(f"mixture names {unknown[0]!r}, but the sources are {sources}; correct {unknown[0]!r}")
    if unnamed := [name for name in sources if name not in parts]:
        raise ValueError(f"mixture has no number for the source {unnamed[0]!r}; give it one, 0 leaves it out")


def _may_begin_early(mixture: bool, base: bool) -> None:
    """Raise ValueError where no training could begin before all shards are there."""
    if mixture:
        raise ValueError(
            "shards.early is given, but a mixture's order follows from the rows of all shards; leave one of them out"
        )
    if base:
        raise ValueError("shards.early is given, but with a base nothing is pretrained; leave shards.early out")


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` in the raw mapping; a source is addressed by its name: sources.web.max_pages=50."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(
            f"--set {override!r} is not of the form section.key=value", "for example --set train.steps=100"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"--set {key}: {text!r} is not a YAML value", "quote it, for example --set 'name=\"x\"'"
        ) from error
    *path, last = key.split(".")
    at: Any = raw
    for part in path:
        if isinstance(at, list):
            at = _member(at, part, override)
            continue
        if at.get(part) is None:
            at[part] = {}
        at = at[part]
        if not isinstance(at, dict | list):
            raise RecipeError(f"--set {override!r}: {part} is the value {at!r}, not a section", "check the key")
    if isinstance(at, list):
        raise RecipeError(f"--set {override!r} names an item, not a key of it", "for example sources.web.max_pages=50")
    at[last] = value


def _member(items: list[Any], part: str, override: str) -> dict[str, Any]:
    """The item of a list that has this name, or this number."""
    named = {str(item.get("name")): item for item in items if isinstance(item, dict)}
    if part in named:
        return named[part]
    if part.isdigit() and int(part) < len(items) and isinstance(items[int(part)], dict):
        return items[int(part)]
    raise RecipeError(f"--set {override!r}: no item {part!r} in the list", f"name one of: {', '.join(named)}")


def _explain(file: Path, raw: dict[str, Any], error: ValidationError) -> RecipeError:
    """One of pydantic's complaints as a message with key, value and fix: an unknown key, as others follow from it."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    names = _key_names(raw, first["loc"])
    key = ".".join(names)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        close = difflib.get_close_matches(str(names[-1]), known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
        return RecipeError(f"{file}: unknown key {key} = {first['input']!r}{more}", fix)
    if first["type"] == "value_error":
        message, _, fix = first["msg"].removeprefix("Value error, ").rpartition("; ")
        return RecipeError(f"{file}: {message or fix}{more}", fix if message else "correct the value")
    if first["type"] == "missing":
        return RecipeError(f"{file}: {key} is missing{more}", f"add {key} to the recipe")
    fitting = f"a list: [{first['input']}]" if first["type"] == "list_type" else "a fitting value"
    return RecipeError(f"{file}: {key} = {first['input']!r}: {first['msg']}{more}", f"give {key} {fitting}")


def _key_names(raw: dict[str, Any], where: tuple[int | str, ...]) -> list[str]:
    """The parts of a key as a user writes it: a source by its name, and without the kind that pydantic adds."""
    if len(where) < 2 or where[0] != "sources":
        return [str(part) for part in where]
    item = raw["sources"][where[1]]
    name = item.get("name") if isinstance(item, dict) else None
    return ["sources", str(name or where[1]), *(str(part) for part in where[3:])]


def _known_keys(where: tuple[int | str, ...]) -> list[str]:
    """Keys of the section at this place of the recipe; a source's place ends with its kind."""
    at: type[Section] = Recipe
    options: list[type[Section]] = []
    for part in where:
        if isinstance(part, str) and part in at.model_fields:
            options = _models(at.model_fields[part].annotation)
            at = options[0]
        elif isinstance(part, str):
            kinds = {model: get_args(model.model_fields["kind"].annotation) for model in options if _has_kind(model)}
            at = next((model for model, kind in kinds.items() if part in kind), at)  # else a name: tune.shapes.NAME
    return sorted(at.model_fields)


def _has_kind(model: type[Section]) -> bool:
    return "kind" in model.model_fields


def _models(annotation: Any) -> list[type[Section]]:
    """Section classes inside an annotation such as `Filters | None` or `list[Source]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [model for arg in getattr(annotation, "__args__", ()) for model in _models(arg)]
