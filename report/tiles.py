"""What stands above all: how the run stands, and its numbers in brief."""

from __future__ import annotations

from dataclasses import dataclass

from .facts import Facts
from .scores import best
from .training import Training
from .words import count, duration, money, plural, share, short


@dataclass(frozen=True)
class Status:
    """`kind` is a word of state.py; `words` is one line, `fix` what to do."""

    kind: str
    words: str
    fix: str = ""


def status(facts: Facts) -> Status:
    """How the run stands, in a sentence."""
    state, here = facts.state, facts.state.stage
    if state.state == "running":
        beside = f" and {state.beside}" if state.beside else ""
        return Status("running", _progress(facts) or f"working on {here}{beside}")
    if state.state == "failed":
        return Status("failed", f"{here}: {state.error}" if here else state.error, state.fix)
    if state.state == "interrupted":
        return Status("interrupted", f"in {here}" if here else "", "the same command continues where it stopped")
    if state.state == "stopped":
        return Status("stopped", f"its process ended in {here} without a word", "the same command continues there")
    open_ones = [one.name for one in facts.stages if one.word != "done"]
    if state.state == "finished":
        return Status("finished", f"{plural(len(state.stages), 'stage')} up to date")
    return Status("unknown", f"not finished: {', '.join(open_ones)}" if open_ones else "all its stages are finished")


def _progress(facts: Facts) -> str:
    """Of the training under way."""
    for one in facts.trainings:
        if one.stage in (facts.state.stage, facts.state.beside):
            left = one.last("seconds_left")
            about = f", about {duration(left)} left" if left else ""
            return f"{one.stage}: step {one.step:,} of {one.steps:,}{about}"
    return ""


def tiles(facts: Facts) -> list[tuple[str, str, str]]:
    """Label, value, what belongs to it. What the run has not is left out."""
    found: list[tuple[str, str, str]] = []
    if facts.flow:
        first, last = facts.flow.steps[0], facts.flow.steps[-1]
        found.append(
            (
                "documents",
                count(last.documents),
                f"{share(last.documents / max(1, first.documents))} of {count(first.documents)} records",
            )
        )
        if last.tokens:
            fit = facts.tokens.bytes_per_token if facts.tokens else None
            about = "" if facts.flow.exact else "~"
            found.append(
                (
                    "tokens",
                    f"{about}{short(float(f'{last.tokens:.3g}'))}",
                    f"{fit:.2f} bytes each" if fit else "estimated",
                )
            )
    for one in facts.trainings:
        found += _training(one)
    if score := best(facts.scores):
        chance = f", chance {share(score.chance)}" if score.chance is not None else ""
        found.append((f"{score.task}, {score.shots}-shot", share(score.value), f"{score.model}{chance}"))
    making = facts.making
    if making is not None and making.seconds:
        spent = [one.flops for one in facts.trainings if one.flops]
        flops = f"{sum(spent):.2g} FLOPs of training".replace("e+", "e") if spent else "all finished stages"
        found.append(("time", duration(making.seconds), flops))
    if making is not None and making.cost is not None:
        found.append(("cost", money(making.cost, making.currency), "by the recipe's prices"))
    return found


def _training(one: Training) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    loss = one.last("validation_loss")
    if one.stage == "pretrain":
        if parameters := one.counters.get("parameters"):
            found.append(
                (
                    "parameters",
                    short(float(f"{parameters:.3g}")),
                    f"{one.model.get('layers', '?')} layers of {one.model.get('width', '?')}",
                )
            )
        if (bits := one.last("bits_per_byte")) is not None:
            gzip = one.counters.get("baseline_gzip_bpb")
            found.append(("bits per byte, held out", f"{bits:.3f}", f"gzip -9: {gzip:.3f}" if gzip else "so far"))
        elif (trained := one.last("loss")) is not None:
            found.append(("training loss", f"{trained:.3f}", f"step {one.step:,}"))
    elif one.stage == "finetune" and loss is not None:
        percent = f"{100 * (loss / one.before - 1):+.0f}".replace("-", "−") if one.before else ""
        change = f"{percent} % against {one.before:.3f} before" if one.before else "nats a token"
        found.append(("loss of held-out answers", f"{loss:.3f}", change))
    elif (right := one.last("preference_accuracy")) is not None:
        before = one.start("preference_accuracy")
        said = one.stage if before is None else f"{share(before)} before"
        found.append(("held-out pairs told right", share(right), said))
    elif (worth := one.last("held_out_reward")) is not None:
        before = one.start("held_out_reward")
        said = one.stage if before is None else f"{before:.3f} before"
        found.append(("held-out reward", f"{worth:.3f}", said))
    return found
