"""lm-evaluation-harness on local files, in a process of its own: python -P harness_run.py FOLDER

FOLDER/hf is the model; FOLDER/tasks.json says {name: {template, files, shots, changes}}: a task file of the installed
harness, the JSON lines in place of its data set, and what else is changed. FOLDER/found.json gets
{hf | ours: {task: samples}} and {rolling: {hf | ours: [log-likelihood]}} for the texts of FOLDER/texts.json. Where
there is a FOLDER/chat, a model that chats, it gets {chat: {hf | ours: …}}, asked in its template with the examples as
turns, and {plain: {hf | ours: …}} for what it writes in plain words.

Run with -P: with the repository's root on sys.path its folder `evaluate` stands before the package of that name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lm_eval
import yaml
from crawl2chat.evaluate.harness import CheckpointLM
from lm_eval.api.instance import Instance
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

SEED = 1234  # what the harness's command line sets


def write_task(folder: Path, name: str, said: dict[str, Any]) -> None:
    """The harness's own YAML, with local files."""
    template = Path(lm_eval.__file__).parent / "tasks" / said["template"]
    config = yaml.safe_load(template.read_text(encoding="utf-8"))
    for key in ("dataset_name", "tag", "training_split", "validation_split", "fewshot_split", "test_split"):
        config.pop(key, None)
    splits = {"test_split": "test", **({"fewshot_split": "dev"} if "dev" in said["files"] else {})}
    config |= {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": said["files"]}}
    config |= {"num_fewshot": said["shots"], **splits, **said.get("changes", {})}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def samples(lm: Any, folder: Path, names: list[str], chat: bool = False) -> dict[str, Any]:
    loaded = TaskManager(include_path=str(folder), include_defaults=False).load(names)
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(SEED)
    asked = {"apply_chat_template": chat, "fewshot_as_multiturn": chat}
    found = evaluate(lm, loaded, bootstrap_iters=0, log_samples=True, **asked)
    assert found is not None
    return dict(found["samples"])


def both(folder: Path) -> dict[str, Any]:
    theirs = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=8)
    return {"hf": theirs, "ours": CheckpointLM(folder=str(folder))}


def main(folder: Path) -> None:
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    (folder / "yaml").mkdir()
    for name, said in tasks.items():
        write_task(folder / "yaml", name, said)
    models, yaml_folder = both(folder / "hf"), folder / "yaml"
    found: dict[str, Any] = {key: samples(lm, yaml_folder, list(tasks)) for key, lm in models.items()}
    if (folder / "chat").is_dir():
        chatting, written = both(folder / "chat"), [name for name in tasks if name.startswith("gsm8k")]
        found["chat"] = {key: samples(lm, yaml_folder, list(tasks), chat=True) for key, lm in chatting.items()}
        found["plain"] = {key: samples(lm, yaml_folder, written) for key, lm in chatting.items()}
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    asked = [Instance("loglikelihood_rolling", {}, (text,), number) for number, text in enumerate(texts)]
    found["rolling"] = {key: lm.loglikelihood_rolling(asked) for key, lm in models.items()}
    (folder / "found.json").write_text(json.dumps(found, default=str), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
