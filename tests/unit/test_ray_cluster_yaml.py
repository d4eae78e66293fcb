"""ray_cluster.yaml against the schema and the checks of the installed Ray."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    import ray

    return json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())


def test_it_validates(cluster: dict[str, Any], schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.chdir(ROOT)
    jsonschema.validate(cluster, schema)
    validate_config(prepare_config(copy.deepcopy(cluster)))


@pytest.mark.parametrize("change", [{"idle_timeout": 5}, {"max_workers": "many"}, {"provider": None}])
def test_the_schema_objects_to_mistakes(cluster: dict[str, Any], schema: dict[str, Any], change: dict) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster | change, schema)


def test_groups_scale_from_nothing_and_end_when_idle(cluster: dict[str, Any]) -> None:
    groups = {name: group for name, group in cluster["available_node_types"].items() if name != "head"}
    assert cluster["available_node_types"]["head"]["resources"] == {"CPU": 0}, "no tasks beside the job's driver"
    assert all(group["min_workers"] == 0 < group["max_workers"] for group in groups.values())
    assert sum(group["max_workers"] for group in groups.values()) <= cluster["max_workers"]
    assert any("GPU" in group["resources"] for group in groups.values())
    assert any("GPU" not in group["resources"] for group in groups.values())
    assert 1 <= cluster["idle_timeout_minutes"] <= 30


def test_no_port_is_opened(cluster: dict[str, Any]) -> None:
    """Only Ray's own security group; its rules come from the provider section, and services listen on loopback."""
    assert set(cluster["provider"]) == {"type", "region", "availability_zone", "cache_stopped_nodes"}
    assert not any("SecurityGroupIds" in group["node_config"] for group in cluster["available_node_types"].values())
    start = "\n".join(cluster["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    assert "0.0.0.0" not in start
    assert "RAY_AUTH_MODE=token" in "\n".join(cluster["setup_commands"])
    assert "~/.ray/auth_token" in cluster["file_mounts"]


def test_the_mounted_files_exist(cluster: dict[str, Any]) -> None:
    ours = [ROOT / source for source in cluster["file_mounts"].values() if source.startswith("./")]
    assert {path.name for path in ours} == {"requirements.txt", "requirements-gpu.txt"}
    assert all(path.is_file() for path in ours)


def test_setup_installs_by_hash(cluster: dict[str, Any]) -> None:
    installs = [command for command in cluster["setup_commands"] if "pip install" in command]
    assert len(installs) == 1
    files = {"~/crawl2chat/requirements.txt", "~/crawl2chat/requirements-gpu.txt"}
    assert {"--require-hashes", "--no-deps", *files} < set(installs[0].split())
