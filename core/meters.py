"""Numbers for Prometheus, by way of Ray: its agent on each node exports what processes there count (docs/watching.md).

Prometheus gets them as `ray_NAME`, with the labels below beside Ray's own. They are of the process that is connected to
Ray; where none is, nothing is counted and nothing imported. Ray sends them every ten seconds, whoever counts how often.

A counter counts what this command has done: what an earlier attempt had finished was counted then.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

RUN = ("run", "stage")


@dataclass(frozen=True)
class Meter:
    kind: Literal["counter", "gauge"]
    about: str
    labels: tuple[str, ...] = RUN


METERS = {
    "crawl2chat_documents_total": Meter("counter", "Documents that came into the stage; pages, of a crawl"),
    "crawl2chat_dropped_total": Meter("counter", "Documents that left at the stage, by reason", (*RUN, "reason")),
    "crawl2chat_tokens_total": Meter("counter", "Tokens written to shards; of a training, targets that were learned"),
    "crawl2chat_spikes_total": Meter("counter", "Updates that the spike guard refused"),
    "crawl2chat_resumes_total": Meter("counter", "Times that training workers began again"),
    "crawl2chat_progress": Meter("gauge", "Share of the stage's present part that is done, 0 to 1"),
    "crawl2chat_loss": Meter("gauge", "Training loss of the newest logged step, nats per token"),
    "crawl2chat_mfu": Meter("gauge", "Model FLOPs utilisation of the newest logged steps; 0 when training is over"),
    "crawl2chat_tokens_per_second": Meter("gauge", "Targets a second, all ranks together; 0 when training is over"),
    "crawl2chat_checkpoint_age_seconds": Meter(
        "gauge", "Seconds since the newest checkpoint, or since workers began: what a kill would cost"
    ),
    "crawl2chat_data_wait": Meter("gauge", "Share of time that a rank stood still for its batches", (*RUN, "rank")),
    "crawl2chat_memory_bytes": Meter("gauge", "The most that a rank's process had resident", (*RUN, "rank")),
}


def count(name: str, amount: float, **labels: str) -> None:
    """Add to a counter."""
    if amount > 0 and (meter := _meter(name)) is not None:
        meter.inc(amount, tags=labels)


def show(name: str, value: float, **labels: str) -> None:
    """Set a gauge. Ray drops it when it is not set again for some twenty seconds."""
    if (meter := _meter(name)) is not None:
        meter.set(float(value), tags=labels)


def accounted(counters: Mapping[str, int]) -> tuple[int, int, dict[str, int]]:
    """Documents, tokens and what was dropped by reason, of a unit's counters.

    A stage of several passes looks at its documents several times: the pass that accounts for them counts
    `documents_in`, or tokens by split.
    """
    tokens = sum(number for name, number in counters.items() if name.startswith("tokens_"))
    documents = counters.get("documents_in", counters.get("documents", 0) if tokens else 0)
    dropped = {name.partition(".")[2]: number for name, number in counters.items() if name.startswith("dropped.")}
    return documents, tokens, dropped


def _meter(name: str) -> Any:
    """Ray's object for a meter; None where this process is connected to no Ray."""
    assert name in METERS, name
    ray = sys.modules.get("ray")  # who is connected has imported it
    return _made(name) if ray is not None and ray.is_initialized() else None


@cache
def _made(name: str) -> Any:
    from ray.util.metrics import Counter, Gauge

    meter = METERS[name]
    return (Counter if meter.kind == "counter" else Gauge)(name, meter.about, meter.labels)
