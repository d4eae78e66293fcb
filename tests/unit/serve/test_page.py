"""The page as files: all from the server itself, behind a policy that lets nothing else in."""

from __future__ import annotations

import re
from pathlib import Path

import crawl2chat.serve
import httpx
import pytest

FOLDER = Path(crawl2chat.serve.__file__).parent


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
)
def test_its_files_are_served(address: str, path: str, kind: str) -> None:
    found = httpx.get(f"{address}{path}")
    assert found.status_code == 200
    assert found.headers["content-type"].startswith(kind)
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["page.html", "page.css", "page.js"])
def test_it_names_no_other_place(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://|url\(|@import|//[a-z0-9.-]+\.[a-z]{2,}/", text)
    assert " style=" not in text and "onclick=" not in text  # the policy would refuse them


def test_every_element_that_the_script_looks_for_is_there() -> None:
    script, page = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", "page.html"))
    wanted = set(re.findall(r'\$\("([\w-]+)"\)', script)) | set(re.findall(r'bind\("([\w-]+)"', script))
    wanted |= {"log", "question", "send", "stop", "settings"}
    assert wanted <= set(re.findall(r'id="([\w-]+)"', page))
