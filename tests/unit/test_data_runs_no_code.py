"""No module calls what turns data into code, or writes where an archive says. Each exception stands here, with why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "pipelines", "dedup", "tokenize", "model", "train", "evaluate", "tune", "chat", "serve", "report")
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
)
NEVER = {  # by the last two parts of a dotted name, or by a name of its own
    **dict.fromkeys(("eval", "exec", "compile", "__import__"), "runs text"),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), "runs a shell"),
    **dict.fromkeys(
        [f"{kind}.{verb}" for kind in ("pickle", "cloudpickle", "dill", "marshal") for verb in ("load", "loads")],
        "calls what the data name",
    ),
    **dict.fromkeys(
        ("pickle.Unpickler", "joblib.load", "shelve.open", "pd.read_pickle", "pandas.read_pickle", "Tuner.restore"),
        "calls what the data name",
    ),
    **dict.fromkeys(
        ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"), "makes objects that YAML names"
    ),
    **dict.fromkeys(("shutil.unpack_archive",), "writes where the archive says"),
    **dict.fromkeys(
        ("jinja2.Environment", "jinja2.Template", "Environment", "Template"), "a template without a sandbox"
    ),
    **dict.fromkeys(
        ("importlib.import_module", "import_module", "runpy.run_path", "runpy.run_module"), "runs a module"
    ),
}
ALLOWED = {
    ("pipelines/extraction/fence_child.py", "pickle.load"): "from the pipe of the process that started it",
    ("tune/search.py", "Tuner.restore"): "after tune/provenance.py: only what this user began, where it was begun",
    ("report/page.py", "Environment"): "its templates are files of the package; what they show is escaped",
    ("tune/report_page.py", "Environment"): "its templates are files of the package; what they show is escaped",
    ("train/zero.py", "importlib.import_module"): "a word of the program: deepspeed",
    ("train/trackers.py", "importlib.import_module"): "words of the program: wandb, mlflow",
    (
        "pipelines/sources/crawl/pydoc_site.py",
        "importlib.import_module",
    ): "the standard library's, in a process of its own",
}


def dotted(node: ast.expr) -> str:
    """The last two parts of what is called: `a.b.c(…)` is b.c, `f(…)` is f."""
    if isinstance(node, ast.Attribute):
        before = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        return f"{before}.{node.attr}"
    return getattr(node, "id", "")


def is_set(call: ast.Call, name: str, value: object) -> bool:
    return any(
        one.arg == name and isinstance(one.value, ast.Constant) and one.value.value == value for one in call.keywords
    )


def faults(source: str) -> Iterator[tuple[str, str]]:
    """(what is called, why not)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "cloudpickle", "dill", "marshal", "os"):
            for one in node.names:
                if f"{node.module}.{one.name}" in NEVER:
                    yield f"{node.module}.{one.name}", "imported by a name of its own"
        if isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(dotted, node.bases):
            own = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            yield from [] if "find_class" in own else [(node.name, "does not say which names it knows")]
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        given = {one.arg for one in node.keywords}
        if name in NEVER:
            yield name, NEVER[name]
        elif name == "torch.load" and not is_set(node, "weights_only", True):
            yield name, "without weights_only=True"
        elif name.endswith(".extractall"):
            yield name, "writes where the archive says"
        elif "allow_pickle" in given and not is_set(node, "allow_pickle", False):
            yield name, "with allow_pickle"
        elif "shell" in given and not is_set(node, "shell", False):
            yield name, "runs a shell"
        elif "trust_remote_code" in given and not is_set(node, "trust_remote_code", False):
            yield name, "runs code of a model's folder"
        elif (
            name in ("state_dict_loader.load", "dcp.load", "checkpoint.load")
            and not {"storage_reader", "planner"} <= given
        ):
            yield name, "DCP's own reader and planner unpickle"


@pytest.mark.parametrize("module", MODULES)
def test_data_run_no_code(module: str) -> None:
    found = [
        f"{name}: {why}" for name, why in faults((ROOT / module).read_text("utf-8")) if (module, name) not in ALLOWED
    ]
    assert found == []


@pytest.mark.parametrize(("module", "name"), ALLOWED)
def test_every_exception_is_still_one(module: str, name: str) -> None:
    assert name in {one for one, _ in faults((ROOT / module).read_text("utf-8"))}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')",
        "from pickle import loads",
        "import pickle\npickle.Unpickler(f).load()",
        "class Mine(pickle.Unpickler):\n    pass",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=anything)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "exec(compile(text, '', 'exec'))",
        "tarfile.open(path).extractall(folder)",
        "with zipfile.ZipFile(path) as archive:\n    archive.extractall()",
        "subprocess.run(words, shell=True)",
        "os.system(words)",
        "ray.tune.Tuner.restore(path, trainable)",
        "AutoTokenizer.from_pretrained(folder, trust_remote_code=True)",
        "state_dict_loader.load(state, checkpoint_id=path)",
        "jinja2.Template(text).render()",
    ],
)
def test_the_guard_finds_what_it_is_for(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "np.load(path, mmap_mode='r')",
        "re.compile('x')",
        "yaml.safe_load(text)",
        "torch.load(f, weights_only=True)",
    ],
)
def test_the_guard_leaves_the_rest_alone(source: str) -> None:
    assert list(faults(source)) == []
