"""Python's own documentation as a web site on loopback: pydoc's HTML, served over HTTP. Run as a script.

    python pydoc_site.py        prints its port as one line when it is ready, and ends when its standard input closes

    /index.html          links to the pages below
    /MODULE.html         documentation of a module of the standard library or of PACKAGES
    /topic?key=TOPIC     chapters of the language reference: English prose
    /search?key=TEXT     modules whose name holds the text; forbidden by robots.txt, as searches are on most sites
    /robots.txt

Every page has the same bytes in every run, whatever was asked for before. pydoc shows live objects, so: all modules
are imported before the first page is made, in a fixed order; addresses in memory, folders of this machine and values of
data (which hold caches, environment variables, open files) are left out. Only the standard library is used here.
"""

from __future__ import annotations

import html
import importlib
import io
import os
import pkgutil
import pydoc
import re
import sys
import threading
import types
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

# Packages with much prose in their documentation, which other dependencies of ours bring along.
PACKAGES = ("networkx",)

# Importing these has effects (a browser opens, a window, a poem is printed), or they are tests, tools of the build, or
# replaced at start-up by what else is installed.
LEFT_OUT = re.compile(
    r"antigravity|this|idlelib|turtle|turtledemo|tkinter|test|lib2to3|distutils|ensurepip|venv|pydoc_data"
    r"|.*\.(tests?|__main__|idle_test|conftest|_.*)|_.*"
)
ROBOTS = "User-agent: *\nDisallow: /*?key=\nAllow: /topic?key=\n"


def module_names() -> Iterator[str]:
    """The modules that have a page, in a fixed order. Importing is how they are found out to exist on this machine."""
    for name in sorted({*sys.stdlib_module_names, *PACKAGES}):
        if not LEFT_OUT.fullmatch(name):
            yield from _with_submodules(name)


def _with_submodules(name: str) -> Iterator[str]:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit):  # made for another system, or needs what is not installed: it has no page
        return
    yield name
    for info in sorted(pkgutil.iter_modules(getattr(module, "__path__", [])), key=lambda info: info.name):
        if not LEFT_OUT.fullmatch(f"{name}.{info.name}"):
            yield from _with_submodules(f"{name}.{info.name}")


class Documentation(pydoc.HTMLDoc):
    """pydoc's HTML without what differs between runs and machines."""

    def filelink(self, url: str, path: str) -> str:
        return html.escape(os.path.basename(path))  # noqa: PTH119 - pydoc speaks in strings

    def docother(self, object: object, name: str | None = None, mod: object = None, *ignored: object) -> str:
        """A piece of data by its type; its value is state."""
        label = f"<strong>{name}</strong> = " if name else ""
        return f"{label}{html.escape(type(object).__name__)}"


class Pages:
    """All pages by their path. One is made at a time: pydoc was not written for threads."""

    def __init__(self, modules: list[str]) -> None:
        self._modules = dict.fromkeys(modules)
        self._helper = pydoc.Helper(io.StringIO(), io.StringIO())
        keywords = {name for name, target in self._helper.keywords.items() if target}  # some have no text
        self._topics = sorted(keywords.union(self._helper.topics))
        self._lock = threading.Lock()

    def get(self, target: str) -> bytes | None:
        """The page at a request's target, None where there is none."""
        parts = urlsplit(target)
        path = unquote(parts.path).lstrip("/")
        with self._lock:
            if path in ("", "index.html"):
                return _page("Index", self._index())
            if path == "topic" and parts.query.startswith("key="):
                return self._topic(unquote(parts.query.removeprefix("key=")))
            if path == "search" and parts.query.startswith("key="):
                key = unquote(parts.query.removeprefix("key="))
                return _page("Search", _links(f"{name}.html" for name in self._modules if key in name))
            name = path.removesuffix(".html")
            if path != name and name in self._modules:
                return _page(name, Documentation().docmodule(sys.modules[name]))
        return None

    def _index(self) -> str:
        topics = _links(f"topic?key={name}" for name in self._topics)
        modules = _links(f"{name}.html" for name in self._modules)
        return f'<h1>Topics</h1>\n{topics}\n<h1>Modules</h1>\n{modules}\n<a href="search?key=html">Search</a>'

    def _topic(self, name: str) -> bytes | None:
        if name not in self._topics:
            return None
        text, related = self._helper._gettopic(name)  # type: ignore[attr-defined]
        links = _links(f"topic?key={other}" for other in sorted(related.split()))
        return _page(name, f"<h1>{name}</h1>\n<pre>{html.escape(text)}</pre>\n{links}")


def _links(targets: Iterable[str]) -> str:
    items = (f'<li><a href="{to}">{to.removeprefix("topic?key=").removesuffix(".html")}</a></li>' for to in targets)
    return "<ul>" + "\n".join(items) + "</ul>"


def _page(title: str, content: str) -> bytes:
    content = re.sub(r"(?: |&nbsp;)at(?: |&nbsp;)0x[0-9a-fA-F]+", "", content)
    content = content.replace(sys.prefix, "").replace(sys.base_prefix, "")
    head = f'<meta charset="utf-8"><title>Pydoc: {html.escape(title)}</title>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{content}</body></html>\n'.encode()


def handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    """The class of request handlers that serve these pages."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path == "/robots.txt":
                self._send(200, "text/plain", ROBOTS.encode())
                return
            page = pages.get(self.path)
            if page is None:
                self._send(404, "text/html", _page("Not found", "<p>There is no such page.</p>"))
            else:
                self._send(200, "text/html", page)

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the crawl has its own log."""

    return Handler


def main() -> None:
    output, sys.stdout = sys.stdout, sys.stderr  # what modules print when imported is not our port
    modules = [name for name in module_names() if isinstance(sys.modules.get(name), types.ModuleType)]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(Pages(modules)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, file=output, flush=True)
    sys.stdin.read()  # ends when the process that started us closes it, or dies
    os._exit(0)


if __name__ == "__main__":
    main()
