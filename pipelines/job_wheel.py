"""This installation of crawl2chat as a wheel for a Ray job.

Comes in: the running program's own modules and recipes, from a source tree or from an installation. Goes out:
crawl2chat-VERSION-0DIGEST-py3-none-any.whl. It is written here and not by a build tool because of how Ray uses it:

- Ray runs `pip install WHEEL --target=…` on every node. The wheel therefore names no dependencies: pip would install
  all of them, torch included, a second time beside the environment that the nodes have.
- Ray tells wheels apart by file name alone. The build tag is therefore a digest of the content: edited code is another
  wheel, and unedited code is not sent again.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from .. import __version__
from ..core.errors import InputError

PACKAGE = Path(__file__).parent.parent
NAME = "crawl2chat"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every file in the wheel: equal content gives equal bytes


def write_wheel(folder: Path) -> Path:
    """Write the wheel into `folder`, and return its path. Raises InputError when the modules cannot be told apart."""
    content = {f"{NAME}/{path}": (PACKAGE / path).read_bytes() for path in sorted(package_files())}
    info = f"{NAME}-{__version__}.dist-info"
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {__version__}\n".encode()
    content[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: crawl2chat\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},sha256={_hash(data)},{len(data)}\n" for path, data in content.items())
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    build_tag = f"0{hashlib.sha256(record.encode()).hexdigest()[:16]}"  # a build tag begins with a digit
    wheel = folder / f"{NAME}-{__version__}-{build_tag}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path, EPOCH), data, zipfile.ZIP_DEFLATED)
    return wheel


def package_files() -> list[str]:
    """Paths of the package's modules and data files, relative to the package.

    In a source tree pyproject.toml lists packages and data; an installation keeps the list of its files.
    """
    project = PACKAGE / "pyproject.toml"
    if project.is_file():
        listed = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["setuptools"]
        data: dict[str, list[str]] = listed.get("package-data", {})
        return [
            path.relative_to(PACKAGE).as_posix()
            for package in listed["packages"]
            for pattern in ("*.py", *data.get(package, []))
            for path in PACKAGE.joinpath(*package.split(".")[1:]).glob(pattern)
        ]
    try:
        installed = files(NAME) or []
    except PackageNotFoundError:
        installed = []
    own = [file.relative_to(NAME) for file in installed if file.parts[0] == NAME and "__pycache__" not in file.parts]
    if not own:
        raise InputError(
            f"{PACKAGE} has no pyproject.toml, and no installed package names its files: cannot pack it for a job",
            "submit from a clone of the repository, or from an environment where crawl2chat is installed with pip",
        )
    return [path.as_posix() for path in own]


def _hash(data: bytes) -> str:
    """Digest as RECORD files write it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
