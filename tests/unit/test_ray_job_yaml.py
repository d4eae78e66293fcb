"""ray_job.yaml against what it uses of KubeRay's schema, and its groups by Ray's own autoscaler for KubeRay."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from crawl2chat.cli import parse
from crawl2chat.core.recipe import load_recipe

ROOT = Path(__file__).parents[2]


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these fields and no others: Kubernetes drops a field that the CRD does not know without a word."""
    return {"type": "object", "required": required.split(), "properties": properties, "additionalProperties": False}


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}  # rayStartParams: `num-cpus: 0` without quotes is refused
AMOUNTS = {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
POD = fields(
    "spec",
    spec=fields(
        "containers volumes",
        containers={
            "type": "array",
            "minItems": 1,
            "items": fields(
                "name image resources volumeMounts",
                name=TEXT,
                image=TEXT,
                resources=fields("limits requests", limits=AMOUNTS, requests=AMOUNTS),
                volumeMounts={"type": "array", "items": fields("name mountPath", name=TEXT, mountPath=TEXT)},
            ),
        },
        volumes={
            "type": "array",
            "items": fields("name", name=TEXT, persistentVolumeClaim=fields("claimName", claimName=TEXT)),
        },
    ),
)
GROUP: dict[str, Any] = {"rayStartParams": TEXTS, "template": POD}
COUNTS = dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), NUMBER)
CLUSTER = fields(
    "headGroupSpec workerGroupSpecs rayVersion",
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=fields(version={"enum": ["v1", "v2"]}, idleTimeoutSeconds=NUMBER),
    authOptions=fields(mode={"enum": ["token", "disabled"]}, secretName=TEXT),
    headGroupSpec=fields("rayStartParams template", serviceType=TEXT, **GROUP),
    workerGroupSpecs={
        "type": "array",
        "items": fields("groupName minReplicas maxReplicas rayStartParams template", groupName=TEXT, **COUNTS, **GROUP),
    },
)
RAY_JOB = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name={"type": "string", "maxLength": 47}),  # KubeRay makes longer names of it
    spec=fields(
        "entrypoint rayClusterSpec",
        entrypoint=TEXT,
        metadata=TEXTS,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=NUMBER,
        backoffLimit=NUMBER,
        rayClusterSpec=CLUSTER,
    ),
)  # names and required fields as in KubeRay's rayjob_types.go and raycluster_types.go


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "ray_job.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def cluster(job: dict[str, Any]) -> dict[str, Any]:
    return job["spec"]["rayClusterSpec"]


def test_it_validates(job: dict[str, Any]) -> None:
    jsonschema.validate(job, RAY_JOB)


def test_the_schema_objects_to_mistakes(job: dict[str, Any]) -> None:
    for change in ({"shutdownAfterJobFinish": True}, {"backoffLimit": "2"}, {"entrypoint": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(job | {"spec": job["spec"] | change}, RAY_JOB)
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, RAY_JOB)


def test_rays_autoscaler_reads_the_groups(cluster: dict[str, Any]) -> None:
    """Ray's own reading of a RayCluster, in the autoscaler that KubeRay starts beside the head."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    read = _derive_autoscaling_config_from_ray_cr({"metadata": {"name": "c", "namespace": "n"}, "spec": cluster})
    groups = read["available_node_types"]
    resources = {name: {k: v for k, v in one["resources"].items() if k != "memory"} for name, one in groups.items()}
    head = read["head_node_type"]
    assert resources.pop(head) == {"CPU": 0}, "no tasks beside the job's driver"
    assert resources == {"data": {"CPU": 16, "data": 1}, "train": {"CPU": 8, "GPU": 1, "train": 1}}
    assert all(one["min_workers"] == 0 < one["max_workers"] for name, one in groups.items() if name != head)
    assert read["idle_timeout_minutes"] == 10


def test_the_cluster_grows_ends_and_stays_inside(job: dict[str, Any], cluster: dict[str, Any]) -> None:
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP", "no LoadBalancer, no NodePort"
    assert cluster["authOptions"]["mode"] == "token"


def test_all_pods_have_the_image_and_the_shared_volume(cluster: dict[str, Any]) -> None:
    import ray

    assert cluster["rayVersion"] == ray.__version__
    pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1
    for pod in pods:
        assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == ["/shared"]
        assert [mount["name"] for mount in pod["containers"][0]["volumeMounts"]] == [v["name"] for v in pod["volumes"]]


def test_the_entrypoint_is_a_command_of_ours(job: dict[str, Any], cluster: dict[str, Any]) -> None:
    """Its settings load, it asks for what the groups have, and the metadata tell of it what `submit` would."""
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "crawl2chat"]
    options = parse(words[3:])
    recipe = load_recipe(Path(options.recipe).stem, options.set)
    marks = [next(iter(yaml.safe_load(yaml.safe_load(group["rayStartParams"]["resources"])))) for group in
             cluster["workerGroupSpecs"]]  # fmt: skip
    assert [recipe.resources.data_resource, recipe.resources.train_resource] == marks
    assert job["spec"]["metadata"] == {"run": recipe.name, "storage": recipe.storage, "verb": words[3]}
