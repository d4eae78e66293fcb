"""Where work runs on a cluster of several kinds of nodes: data on some, training on others.

A node is marked by a custom resource (`ray start --resources '{"data": 1}'`, or the node types of ray_cluster.yaml and
the groups of ray_job.yaml). What has its place there asks for a thousandth of it, beside the CPUs that it takes: so the
mark limits nothing, and a cluster that grows starts nodes of this kind. Training asks by `Resources.of_worker`, data by
`data_task`, which holds for the session.

Where data and a training are at work at once (late.py), data take what the training's workers leave.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .errors import RecipeError
from .log import log
from .progress import console
from .settings_training import SHARE, STANDARD, Resources

KINDS = ("data_resource", "train_resource")
GROUP = "ray.io/node-group"  # label of the nodes that a cluster launcher started
LOOK_S = 5.0
SURE = 3  # looks in a row at which the autoscaler says that it has no such node
REJOIN_S = 15.0  # for the nodes of a cluster to join a head that has just started

_data: str | None = None  # of the session
_beside: Resources | None = None  # of a training that is at work, or begins


@contextmanager
def placed(resources: Resources) -> Iterator[None]:
    """A session's placement. Raises RecipeError where the recipe names a resource that no node has or will have."""
    global _data
    _check(resources)
    before, _data = _data, resources.data_resource
    try:
        yield
    finally:
        _data = before


def data_task() -> dict[str, Any]:
    """What a task on data asks Ray for beside its CPU: {}, or {resources: {NAME: share}}.

    Waits until a node has the resource: Ray Data would hold its first task back without saying why.
    """
    if _data is None:
        return {}
    await_node(_data)
    return {"resources": {_data: SHARE}}


def hold_both(resources: Resources) -> bool:
    """Whether the nodes have processors for tasks on data wherever the workers of a training are placed.

    Of a cluster that grows, no node may be wanted by both: it is not known how far it grows.
    """
    if _grows():
        names = (resources.data_resource, resources.train_resource)
        return None not in names and names[0] != names[1]
    return _left_over([node["Resources"] for node in _alive()], resources)


@contextmanager
def beside_training(resources: Resources) -> Iterator[None]:
    """Within, tasks on data leave the processors free that the workers of a training take."""
    global _beside
    _beside = resources
    try:
        yield
    finally:
        _beside = None


def taken_beside() -> dict[str, float]:
    """{CPU, GPU} that a training holds beside the work on data."""
    return _beside.training if _beside is not None else {}


def data_cpus() -> float | None:
    """CPUs that tasks on data may take at once; None: all.

    Without a limit they would take each CPU that becomes free, and a training beside would find no place.
    """
    if _beside is None or _grows():
        return None
    nodes = [node["Resources"] for node in _alive() if _fits(node["Resources"], _beside.data_resource, 1)]
    if not any(_trains(node, _beside) for node in nodes):
        return None
    return max(1.0, sum(node["CPU"] for node in nodes) - _beside.training["CPU"])


def _left_over(nodes: Sequence[dict[str, float]], resources: Resources) -> bool:
    """Whether no placement of all workers leaves less than a CPU on every node that tasks on data may use."""
    workers, each = resources.train_workers, resources.cpus_per_worker
    for node in nodes:
        if not _fits(node, resources.data_resource, 1):
            continue
        most = int(node["CPU"] // each) if _trains(node, resources) else 0
        if resources.gpus_per_worker and most:
            most = min(most, int(node["GPU"] // resources.gpus_per_worker))
        full = next((number for number in range(most + 1) if node["CPU"] - number * each < 1), None)
        if full is None:
            return True  # it cannot be filled up
        workers -= full
    return workers < 0


def _fits(node: dict[str, float], name: str | None, cpus: float) -> bool:
    return (name is None or name in node) and node.get("CPU", 0) >= cpus


def _trains(node: dict[str, float], resources: Resources) -> bool:
    return (
        _fits(node, resources.train_resource, resources.cpus_per_worker)
        and node.get("GPU", 0) >= resources.gpus_per_worker
    )


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _grows() -> bool:
    """Whether a cluster launcher started the nodes, and may start more."""
    return any(node.get("Labels", {}).get(GROUP) for node in _alive())


def await_node(name: str | None) -> None:
    """Have a node with this resource started, if there is none. Raises RecipeError when the autoscaler cannot."""
    import ray

    if name is None or name in ray.cluster_resources():
        return
    console.print(f"  waiting for a node with the resource {name}", markup=False, soft_wrap=True)
    probe = ray.remote(num_cpus=0, resources={name: SHARE})(_there).remote()
    told = 0
    while not ray.wait([probe], timeout=LOOK_S)[0]:
        told = told + 1 if name in _infeasible() else 0
        if told == SURE:
            ray.cancel(probe)
            raise _missing(name, "resources")
    log.info("a node with the resource %s is there", name)


def _there() -> None:
    """A task that only has to start."""


def _check(resources: Resources) -> None:
    """A cluster without an autoscaler stays as it is, once its nodes have joined the head, which may be a new one; what
    an autoscaler could start is known only when it is asked."""
    import ray

    named = {key: name for key in KINDS if (name := getattr(resources, key)) is not None}
    if not named or _grows():
        return
    missing, deadline = named, time.monotonic() + REJOIN_S
    while missing := {key: name for key, name in missing.items() if name not in ray.cluster_resources()}:
        if time.monotonic() > deadline:
            key, name = next(iter(missing.items()))
            raise _missing(name, f"resources.{key}")
        time.sleep(0.5)


def _missing(name: str, key: str) -> RecipeError:
    import ray

    has = [one for one in ray.cluster_resources() if one not in STANDARD and ":" not in one]
    return RecipeError(
        f"{key} asks for {name!r}, but no node of this cluster has such a resource (its nodes have: "
        f"{', '.join(sorted(has)) or 'none of their own'})",
        f"""start nodes with it (ray start --resources '{{"{name}": 1}}'), or set resources.data_resource and """
        "resources.train_resource to what the nodes have, or to null",
    )


def _infeasible() -> set[str]:
    """Resources that were asked for, and that no kind of node has, by the word of Ray's autoscaler (version 2)."""
    import ray
    from ray import _raylet
    from ray.core.generated import autoscaler_pb2
    from ray.exceptions import RayError

    compiled: Any = _raylet  # neither is typed
    messages: Any = autoscaler_pb2
    reply = messages.GetClusterStatusReply()
    with suppress(RayError):  # the head is busy: it is asked again
        reply.ParseFromString(compiled.GcsClient(ray.get_runtime_context().gcs_address).get_cluster_status())
    return {name for one in reply.autoscaling_state.infeasible_resource_requests for name in one.resources_bundle}
