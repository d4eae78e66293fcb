"""The stages `tokenizer`, `shards_early` and `shards`: a vocabulary learned on the kept documents, and these as tokens.

    tokenizer   count     unit by unit: how much text there is
                train     on a stream of sampled documents, every source with its part        tokenizer.json
                          (with `tokenizer.files` instead: read the vocabulary that these have)
                check     which encoder gives its ids                                         encoder.json
                measure   unit by unit, on another sample: fertility of each language         fertility.json
    shards      place     unit by unit: is there a document for validation?
                encode    unit by unit                                    {train,validation}/UNIT.arrow
    shards_early    with `shards.early`: the same of the first units, which `shards` then takes over

Which split a document is in depends on its doc_id and `shards.validation_share` alone. Only when no document at all
falls into validation, the one that comes nearest is taken. With `shards.split: tail` every document is in both: its
last part, as large a share of its characters, is for validation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from ..core.documents import extracted_units, ledger_stages
from ..core.errors import StageError
from ..core.files import atomic_path, write_json
from ..core.log import log
from ..core.manifest import Manifest, file_entry
from ..core.recipe import Recipe
from ..core.settings_tokenizer import Tokenizer as Settings
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.unit_map import map_units
from ..core.units import Unit, UnitReport, commit, finished, source_of, total
from .early import early_units, take_over

FERTILITY_FILE = "fertility.json"
FERTILITY_BYTES = 64 << 20  # of text, to measure on
_MORE = "keep more documents (language.threshold, filters.*, dedup.*), or add sources"


def _train(ctx: StageContext) -> StageResult:
    from .encoder_check import checked_tokenizer
    from .fertility import rates
    from .sample_work import count_unit, fertility_unit

    settings = ctx.recipe.tokenizer
    units = extracted_units(ctx.inputs["extract"])
    config = _kept_from(ctx)
    counted = map_units(count_unit, units, ctx.folder, config, ctx.progress)
    kept = total(counted)
    if not kept.get("bytes"):
        raise StageError(f"no text is left to train a tokenizer on: {_funnel(ctx)}", _MORE)
    report = _trained(ctx, config | {"cuts": _cuts(counted, settings.train_bytes, settings.balance)}, units)
    path = ctx.folder / "tokenizer.json"
    tokenizer = checked_tokenizer(path, units, config)
    if settings.files is None and tokenizer.vocab_size < settings.vocab_size:
        log.warning(
            "tokenizer.vocab_size is %d, but the %d bytes of text gave only %d tokens: the run goes on with these",
            *(settings.vocab_size, report.counters["bytes"], tokenizer.vocab_size),
        )
    measure = config | {"cuts": _cuts(counted, FERTILITY_BYTES, 1.0), "tokenizer": str(path)}
    measured = map_units(fertility_unit, units, ctx.folder, measure, ctx.progress, records="fertility")
    counts = {key: number for key, number in total(measured).items() if "." in key}
    write_json(ctx.folder / FERTILITY_FILE, rates(counts))
    facts = {"vocab_size": tokenizer.vocab_size, "end_of_text": tokenizer.end_of_text, "digest": tokenizer.digest}
    files = [*report.files, file_entry(ctx.folder, ctx.folder / FERTILITY_FILE, 0)]
    counters: dict[str, float | int] = {**report.counters, "vocab_size": tokenizer.vocab_size}
    return StageResult(files, counters, facts, notes={"encoder": tokenizer.verdict})


def _trained(ctx: StageContext, config: dict[str, Any], units: list[Unit]) -> UnitReport:
    """Train tokenizer.json, or make it of the recipe's files, unless it is there already."""
    from .bpe import Tokenizer
    from .gpt2_files import given

    settings = ctx.recipe.tokenizer
    unit, made_from = Unit(name="tokenizer"), {**config, **settings.model_dump(), "units": [one.name for one in units]}
    if unit.name in (done := finished(ctx.folder, [unit], made_from)):
        return done[unit.name]
    ctx.progress.start(1, done=0, counting="documents")
    data, counters = given(settings) if settings.files else _learned(made_from["units"], config, settings)
    path = ctx.folder / "tokenizer.json"
    with atomic_path(path) as partial:
        partial.write_bytes(data)
    files = [file_entry(ctx.folder, path, Tokenizer(data).vocab_size)]
    report = UnitReport(name=unit.name, files=files, counters=counters)
    commit(ctx.folder, unit, made_from, report)
    ctx.progress.advance(1, counters["documents"])
    return report


def _learned(units: list[str], config: dict[str, Any], settings: Settings) -> tuple[bytes, dict[str, int]]:
    """A tokenizer.json trained on the sample, and how much text this was, by source too."""
    from .sampling_stage import Sample
    from .train import train_tokenizer

    sample = Sample(units, config)
    data = train_tokenizer(sample, settings.vocab_size, settings)
    if not sample.counters["bytes"]:
        raise StageError(
            f"no document is in the tokenizer's sample of {settings.train_bytes} bytes", "raise tokenizer.train_bytes"
        )
    return data, sample.counters


def _cuts(counted: list[UnitReport], budget: int, balance: float) -> dict[str, int]:
    """Documents placed below these, by source, are in a sample of about so many bytes."""
    from .sample import SPAN, cut_at
    from .sample_work import quotas

    sizes: Counter[str] = Counter()
    for report in counted:
        sizes[source_of(report.name)] += report.counters["bytes"]
    shares = quotas(sizes, budget, balance)
    return {source: SPAN if share == 1 else cut_at(share) for source, share in shares.items()}


def _encode(ctx: StageContext) -> StageResult:
    units, early = extracted_units(ctx.inputs["extract"]), _early_output(ctx)
    config = _encoding(ctx, units, early.facts["split"] if early else None)
    if early:
        take_over(ctx.run.stage(SHARDS_EARLY.name), ctx.folder, units, config)
    return _encoded(ctx, units, config, f"lower shards.validation_share ({ctx.recipe.shards.validation_share})")


def _encode_early(ctx: StageContext) -> StageResult:
    units, share = extracted_units(ctx.inputs["extract"]), ctx.recipe.shards.early
    assert share is not None, "the recipe has this stage"
    config = _encoding(ctx, units)
    made = _encoded(ctx, early_units(units, share), config, f"raise shards.early ({share})")
    return replace(made, facts=made.facts | {"split": {key: config[key] for key in ("cut", "tail") if key in config}})


def _early_output(ctx: StageContext) -> Manifest | None:
    """The manifest of `shards_early`, if it is of the same documents and settings. It saves work, and is no input: the
    shards have the same bytes without it.
    """
    found = ctx.run.manifest(SHARDS_EARLY.name) if ctx.recipe.shards.early is not None else None
    if found is None or found.config != SHARDS_EARLY.config(ctx.recipe):
        return None
    return found if found.inputs == {name: made.digest for name, made in ctx.inputs.items()} else None


def _encoding(ctx: StageContext, units: list[Unit], split: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the workers have to know. `split`: which documents validate, if that is known already."""
    from .encoder_check import checked_tokenizer
    from .unit_work import place_unit

    config = _kept_from(ctx)
    path = ctx.input_folder("tokenizer") / "tokenizer.json"
    checked_tokenizer(path, units, config)  # an output of before may have no verdict
    if split is None and ctx.recipe.shards.split == "tail":
        split = {"tail": ctx.recipe.shards.validation_share}
    elif split is None:
        split = {"cut": _cut(map_units(place_unit, units, ctx.folder / "places", config, ctx.progress), ctx)}
    return config | {"tokenizer": str(path)} | split


def _encoded(ctx: StageContext, units: list[Unit], config: dict[str, Any], fix: str) -> StageResult:
    """Raises StageError when no document is left to train on; `fix`: what to do then."""
    from .encode import token_type
    from .unit_work import shard_unit

    reports = map_units(shard_unit, units, ctx.folder, config, ctx.progress)
    counters = total(reports)
    if not counters["documents_train"]:
        raise StageError(
            f"all {counters['documents']} documents fell into validation: {_funnel(ctx)}",
            f"{fix}; {_MORE}",
        )
    made_by = ctx.inputs["tokenizer"].facts
    facts = {
        "dtype": token_type(made_by["vocab_size"]).name,
        "vocab_size": made_by["vocab_size"],
        "end_of_text": made_by["end_of_text"],
        "tokenizer_digest": made_by["digest"],
        "train_tokens": counters["tokens_train"],
        "validation_tokens": counters["tokens_validation"],
        "validation_bytes": counters["bytes_validation"],
    }
    text, tokens = (counters[f"{what}_train"] + counters[f"{what}_validation"] for what in ("bytes", "tokens"))
    files = [entry for report in reports for entry in report.files]
    return StageResult(files, {**counters, "fertility": round(text / tokens, 4)}, facts)


def _cut(placed: list[UnitReport], ctx: StageContext) -> int:
    """Places below this validate: the recipe's share, or the smallest place alone if the share has no document."""
    from .sample import cut_at

    documents = total(placed).get("documents", 0)
    if documents < 2:
        raise StageError(f"{documents} documents are left, too few to train and to validate: {_funnel(ctx)}", _MORE)
    smallest = min(report.counters["smallest"] for report in placed if report.counters["documents"])
    return max(cut_at(ctx.recipe.shards.validation_share), smallest + 1)


def _kept_from(ctx: StageContext) -> dict[str, Any]:
    """Where the workers find the documents that are left."""
    stages = [str(ctx.input_folder(name)) for name in ledger_stages(ctx.recipe)]
    return {"extract": str(ctx.input_folder("extract")), "stages": stages}


def _funnel(ctx: StageContext) -> str:
    """Where the documents went, for an error message."""
    read = ctx.inputs["extract"].counters.get("documents_in", 0)
    kept = [(name, ctx.inputs[name].counters.get("documents", 0)) for name in ("extract", *ledger_stages(ctx.recipe))]
    return f"extract read {read}, " + ", ".join(f"{name} kept {documents}" for name, documents in kept)


def _stamps(recipe: Recipe) -> dict[str, str]:
    """Digests of the recipe's own vocabulary: files that changed are read again."""
    from .gpt2_files import digests

    return digests(recipe.tokenizer.files) if recipe.tokenizer.files else {}


def _whole(recipe: Recipe) -> dict[str, Any]:
    """Which units come early changes nothing of the shards."""
    return {"shards": recipe.shards.model_dump(mode="json", exclude={"early"})}


TOKENIZER = Stage("tokenizer", ("extract", "dedup"), sections("tokenizer"), _train, version=2, external=_stamps)
SHARDS = Stage("shards", ("extract", "dedup", "tokenizer"), _whole, _encode)
SHARDS_EARLY = Stage("shards_early", SHARDS.inputs, sections("shards"), _encode_early)
