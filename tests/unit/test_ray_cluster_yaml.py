"""ray_cluster.yaml against the schema and the checks of the installed Ray, and its commands against a real shell."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tomllib
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
    assert {path.name for path in ours} == {"pyproject.toml", "constraints.txt"}
    assert all(path.is_file() for path in ours)


def test_setup_lists_the_pinned_dependencies(cluster: dict[str, Any], tmp_path: Path) -> None:
    """The command that takes the dependencies out of pyproject.toml, run as the launcher runs it: by bash."""
    [command] = [command for command in cluster["setup_commands"] if "tomllib" in command]
    (tmp_path / "crawl2chat").mkdir()
    (tmp_path / "crawl2chat" / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to(sys.executable)
    subprocess.run(["bash", "-c", command], check=True, env=os.environ | {"HOME": str(tmp_path)})
    listed = (tmp_path / "crawl2chat" / "requirements.txt").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert listed == project["dependencies"] + project["optional-dependencies"]["demo"]
    [install] = [command for command in cluster["setup_commands"] if "requirements.txt -c" in command]
    assert install.endswith("-c ~/crawl2chat/constraints.txt")
