"""A run from documents to a model on a Ray with its dashboard; prints as JSON what that Ray shows of it.

    {metrics: [[name, labels, value]], during: {name: {stage/rank: newest value}}, tasks, datasets, trainings}

The Ray is this process's own: metrics are of no other run.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any
from urllib.request import urlopen

from crawl2chat.core.run import Run
from crawl2chat.core.session import ray_session
from crawl2chat.pipelines.execute import execute
from crawl2chat.pipelines.stages import run_stages

Samples = list[tuple[str, dict[str, str], float]]
WAIT_S = 60


def scraped() -> Samples:
    """What the agent of this node exports of ours, as Prometheus would fetch it."""
    import ray
    from prometheus_client.parser import text_string_to_metric_families

    [node] = ray.nodes()
    with urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return [(one.name, one.labels, one.value) for one in found if one.name.startswith("ray_crawl2chat_")]


def dashboard() -> str:
    """Its address: other Rays may run on this machine."""
    import ray

    return f"http://{ray._private.worker.get_dashboard_url()}"  # type: ignore[attr-defined]


def of_dashboard(path: str) -> Any:
    with urlopen(f"{dashboard()}{path}", timeout=30) as answer:
        return json.load(answer)


def settled() -> Samples:
    """The numbers once two looks, further apart than the agent is sent new ones, agree."""
    before: Samples = []
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        time.sleep(3)
        now = sorted(scraped(), key=str)
        if now and now == before:
            return now
        before = now
    return before


def main(folder: str) -> None:
    import ray
    from ray.util.state import list_tasks

    run = Run.open(folder)
    during: dict[str, dict[str, float]] = {}
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            for name, labels, value in scraped():
                during.setdefault(name, {})[f"{labels['stage']}/{labels.get('rank', '')}"] = value

    with ray_session(run.recipe.resources, run.folder / "logs"):
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        execute(run, run_stages(run.recipe))
        metrics = settled()  # what was shown last may still be on its way
        stop.set()
        looking.join()
        job = ray.get_runtime_context().get_job_id()
        told = {
            "metrics": metrics,
            "during": during,
            "tasks": sorted({str(vars(task)["name"]) for task in list_tasks(address=dashboard(), limit=10_000)}),
            "datasets": of_dashboard(f"/api/data/datasets/{job}"),
            "trainings": of_dashboard("/api/train/v2/runs/v1"),
        }
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
