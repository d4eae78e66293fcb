"""`crawl2chat serve`: check what was asked for, start Ray Serve, say where it is, wait for Ctrl-C, end."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from ..core.errors import InputError
from ..core.remote_path import path_of
from ..core.run import Run
from ..core.session import ray_session
from ..core.settings_training import Resources
from .guard import LOOPBACK
from .settings import ServerSettings, Source

KEY_VARIABLE = "CRAWL2CHAT_API_KEY"
SMALL = 20_000_000  # parameters, below which threads only wait for each other
LOOPBACK_HOSTS = {"127.0.0.1", "localhost", "::1"}
ANY_ADDRESS = {"0.0.0.0", "::"}
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


def run_serve(source: Source, settings: ServerSettings, host: str, port: int) -> int:
    """Serve until Ctrl-C or SIGTERM. Raises InputError for what cannot be served, before Ray starts."""
    session, *_ = source.open()  # here first: what is wrong with the model is told by its own error
    parameters, context = session.model.config.parameters(), session.context
    del session
    resources = Run.open(source.run).recipe.resources if source.run else Resources()
    cpus = resources.cpus or os.cpu_count() or 1
    settings = replace(settings, threads=settings.threads or (1 if parameters < SMALL else cpus))
    if not (resources.address or os.environ.get("RAY_ADDRESS")):
        check_port(host, port)
        if (settings.threads or 1) > cpus:
            raise InputError(f"--threads {settings.threads}, but there are {cpus} cores", "give fewer")
    logs = path_of(source.run or source.folder or ".") / "logs"
    stopped = threading.Event()
    print(f"starting {source.name} …", flush=True)
    # Ray sets handlers of its own when it starts: ours go before and behind it.
    with stop_signals(stopped), ray_session(resources, logs), stop_signals(stopped):
        if stopped.is_set():
            return 0
        from .deployment import served

        with served(source, settings, host, port, stopped) as ready:
            if not ready:
                return 0
            name = f"[{host}]" if ":" in host else host
            about = f"{parameters:,} parameters, context {context}, {settings.slots} at once"
            print(f"{source.name}: {about}, {'an API key' if settings.key_digest else 'no API key'}")
            print(f"  chat  http://{name}:{port}/\n  API   http://{name}:{port}/v1   model {source.name}")
            print("Ctrl-C ends it.", flush=True)
            stopped.wait()
    return 0


def allowed_hosts(host: str, key: str | None, open_to_all: bool, names: Sequence[str] = ()) -> tuple[str, ...] | None:
    """Names by which the server may be called, None for any: those of loopback, and `names`, as those of a proxy before
    it. Raises InputError when others could use it without a key, and for what is no name."""
    for name in names:
        if not NAME.fullmatch(name):
            raise InputError(f"--allow-host {name} is no name of a host", "give it without scheme, port and path")
    if host not in LOOPBACK_HOSTS and key is None and not open_to_all:
        raise InputError(
            f"--host {host}: everyone who reaches this machine could use the model",
            f"give --api-key-file FILE (or set {KEY_VARIABLE}), or --open if that is meant",
        )
    if host in LOOPBACK_HOSTS:
        return (*LOOPBACK, *map(str.lower, names))
    own = [] if host in ANY_ADDRESS else [f"[{host}]" if ":" in host else host]
    return (*LOOPBACK, *map(str.lower, [*own, *names])) if names else None


def read_key(file: Path | None) -> str | None:
    """The API key of a file, or of the environment. Raises InputError for a file without one."""
    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not readable: {error}", "give a file that holds the API key") from error
    if not key or not key.isascii() or len(key.split()) != 1:
        raise InputError(f"{file} does not hold one word of ASCII", "write a key into it: openssl rand -hex 24 > FILE")
    return key


def digest_of(key: str | None) -> str | None:
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()


def check_port(host: str, port: int) -> None:
    """Raises InputError when the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port}: {error}", "give another --port or --host") from error


@contextmanager
def stop_signals(stopped: threading.Event) -> Iterator[None]:
    """Within the block Ctrl-C and SIGTERM set `stopped`, and interrupt only when they come again.

    An interrupt anywhere within Ray's own starting and ending leaves tracebacks, and processes, behind.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt  # a second time: do not wait for a tidy end
        stopped.set()
        with suppress(OSError):
            os.write(1, "ending …\n".encode())  # `print` may be at work itself

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
