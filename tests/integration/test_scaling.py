"""The node types of ray_cluster.yaml, started by Ray's autoscaler as nodes of this machine: they come when a job's work
asks for them, each kind of work on its own kind, and go when they are idle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .job_cluster import Cluster, dependencies_only, head_node, write_recipe

pytestmark = [pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
HEAD_TYPE = "ray.head.default"  # how Ray's provider of nodes on one machine calls the head
HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
PROVIDER = {
    "type": "external",
    "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
    "use_node_id_as_ip": True,
    "disable_node_updaters": True,
    "disable_launch_config_check": True,
    "launch_multiple": True,
    "head_node_id": HEAD_ID,
    "gcs_address": "{gcs}",
}
IDLE_S = 60  # on a busy machine a worker of Ray may take that long to start, and its node seems idle
MARKS = ("resources.data_resource=data", "resources.train_resource=train", "resources.train_workers=1")


def on_one_machine(described: dict[str, Any]) -> dict[str, Any]:
    """ray_cluster.yaml with its groups and their resources, of each at most 2, without cloud and commands."""
    groups = {
        name: {
            "resources": {kind: min(2, amount) for kind, amount in group["resources"].items()}
            | {"object_store_memory": 100_000_000},
            "node_config": {},
            "min_workers": group["min_workers"],
            "max_workers": min(2, group["max_workers"]),
        }
        for name, group in described["available_node_types"].items()
        if name != described["head_node_type"]
    }
    head = described["available_node_types"][described["head_node_type"]]
    empty = {key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")}
    commands = {key: [] for key in described if key.endswith("_commands")} | {"worker_setup_commands": []}
    return {
        **{key: described[key] for key in ("cluster_name", "max_workers", "upscaling_speed")},
        **empty,
        **commands,
        "idle_timeout_minutes": IDLE_S / 60,
        "provider": PROVIDER,
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "head_node_type": HEAD_TYPE,
        "available_node_types": groups
        | {HEAD_TYPE: {"resources": head["resources"], "node_config": {}, "max_workers": 0}},
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    described = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    variables = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",  # as `ray up` has it
        "RAY_NODE_TYPE_NAME": HEAD_TYPE,  # this too
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    environment = dependencies_only(tmp_path_factory.mktemp("environment"))
    with head_node(environment, on_one_machine(described), **variables) as cluster:
        yield cluster


def kinds(cluster: Cluster, alive: bool = False) -> list[str]:
    """`data` and `train` for each node that came, or is still there."""
    nodes = cluster.get("/api/v0/nodes")["data"]["result"]["result"]
    here = [node["resources_total"] for node in nodes if not node["is_head_node"]]
    there = [node["resources_total"] for node in nodes if not node["is_head_node"] and node["state"] == "ALIVE"]
    return sorted(kind for one in (there if alive else here) for kind in ("data", "train") if kind in one)


def submit(cluster: Cluster, folder: Path, *more: str) -> tuple[int, str]:
    sets = [word for one in MARKS for word in ("--set", one)]
    done = cluster.crawl2chat("submit", "small.yaml", "--address", cluster.address, *sets, *more, cwd=folder)
    return done.returncode, done.stdout + done.stderr


def test_each_work_starts_its_own_nodes_and_they_go(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    assert kinds(cluster) == []
    code, told = submit(cluster, tmp_path, "--verb", "data", "--set", "resources.data_resource=fast")
    assert code == 2, told
    assert "asks for 'fast', but no node of this cluster has such a resource" in " ".join(told.split())
    assert kinds(cluster) == []

    code, told = submit(cluster, tmp_path, "--verb", "data")
    assert code == 0, told
    assert "waiting for a node with the resource data" in told
    code, told = submit(cluster, tmp_path, "--verb", "tokenizer")
    assert code == 0, told
    assert set(kinds(cluster)) == {"data"}, "and no machine with a GPU"

    # No more than this: nodes of one machine share Ray's folder of the session, in which a new one unpacks the job's
    # folder anew. The driver goes on in the old one, which is no longer there.
    code, told = submit(cluster, tmp_path, "--verb", "pretrain")
    assert code == 0, told
    assert "waiting for a node with the resource train" in told
    assert kinds(cluster).count("train") == 1

    deadline = time.monotonic() + IDLE_S + 90
    while kinds(cluster, alive=True):
        assert time.monotonic() < deadline, kinds(cluster, alive=True)
        time.sleep(2)
