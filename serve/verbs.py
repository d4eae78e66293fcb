"""The verb `crawl2chat serve`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

EXAMPLES = """\
  crawl2chat serve --run runs/tiny                         an OpenAI-compatible server, and a page to chat on
  crawl2chat serve --run runs/tiny --stage pretrain --port 8001 --slots 16
  crawl2chat serve --model models/tiny --host 0.0.0.0 --api-key-file key.txt
  crawl2chat serve --run runs/tiny --allow-host chat.example.org --api-key-file key.txt
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def add_serve_verb(verb: Verb) -> None:
    """Add the verb; `verb(name, about, function)` makes a parser."""
    serve = verb("serve", "serve a model by HTTP: OpenAI's API and a page to chat on", _serve)
    which = serve.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", metavar="R", help="folder of the run")
    which.add_argument("--model", metavar="FOLDER", help="instead: a folder that `import` or `export` wrote")
    serve.add_argument("--stage", choices=("pretrain", "finetune", "align"), help="which model (the last)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine only)")
    serve.add_argument("--port", type=_port, default=8000, help="(%(default)s)")
    serve.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a name by which it may be called beside those of loopback, as a reverse proxy's; repeatable",
    )  # fmt: skip
    serve.add_argument("--open", action="store_true", help="let everyone in who reaches the host, without a key")
    serve.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="what clients must send; or set CRAWL2CHAT_API_KEY"
    )
    serve.add_argument("--slots", type=_count, default=8, metavar="N", help="texts written at once (%(default)s)")
    serve.add_argument("--queue", type=_count, default=64, metavar="N", help="requests that may wait (%(default)s)")
    serve.add_argument("--threads", type=_count, metavar="N", help="of the model (1 for a small one, else all)")
    serve.add_argument("--max-tokens", type=_count, metavar="N", help="of an answer (what the context leaves)")
    serve.add_argument("--max-prompt-tokens", type=_count, metavar="N", help="of a prompt (the model's context)")
    serve.add_argument("--max-body", type=_count, default=1 << 20, metavar="BYTES", help="of a request (%(default)s)")


def _serve(options: argparse.Namespace) -> int:
    from ..core.remote_path import path_of
    from .launch import allowed_hosts, digest_of, read_key, run_serve
    from .settings import ServerSettings, Source

    key = read_key(options.api_key_file)
    settings = ServerSettings(
        slots=options.slots,
        queue=options.queue,
        threads=options.threads,
        max_body_bytes=options.max_body,
        max_prompt_tokens=options.max_prompt_tokens,
        max_tokens=options.max_tokens,
        key_digest=digest_of(key),
        hosts=allowed_hosts(options.host, key, options.open, options.allow_host),
    )
    run, folder = (str(path_of(one).absolute()) if one else None for one in (options.run, options.model))
    return run_serve(Source(run, options.stage, folder), settings, options.host, options.port)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return number
