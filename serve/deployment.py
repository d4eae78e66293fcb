"""The application on Ray Serve: one replica, which holds the model, its engine's thread and the HTTP application.

One replica is enough for a model that fits a machine: the engine batches by itself, so Serve is to hand it every
request at once and not to queue. What the replica's own limits let through anyway (connections that only ask for the
page) is bounded far above them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ray import serve
from ray.serve.config import BackpressureConfig, ProxyLocation
from starlette.types import ASGIApp

from ..core.errors import InputError, StageError
from .app import build_app
from .backend import Backend
from .settings import ServerSettings, Source

APPLICATION = "crawl2chat"
BESIDE = 512  # requests in the replica above slots and queue: answered with 429, or for a file


@serve.deployment(name=APPLICATION, num_replicas=1, max_constructor_retry_count=1, graceful_shutdown_wait_loop_s=0.2)
@serve.ingress()
class Server:
    """Made in the replica; Serve asks it for the application afterwards."""

    def __init__(self, source: Source, settings: ServerSettings) -> None:
        self._backend = Backend.open(source, settings)
        self._backend.worker.start()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return build_app(self._backend)

    def check_health(self) -> None:
        if not self._backend.worker.alive:
            raise RuntimeError("the engine's thread has ended")


@contextmanager
def served(source: Source, settings: ServerSettings, host: str, port: int) -> Iterator[None]:
    """Serve until the block ends, in the Ray session that there is.

    Raises InputError when Serve runs in it already, StageError when the replica does not start.
    """
    if serve.status().proxies:
        raise InputError(
            "Ray Serve runs on this Ray already, with an address of its own",
            "stop it (serve shutdown), or unset the address",
        )
    settings_of_logs = {"log_level": "WARNING", "enable_access_log": False}
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # in this process Serve has set it to INFO
    try:
        serve.start(
            proxy_location=ProxyLocation.HeadOnly,
            http_options={"host": host, "port": port},
            logging_config=settings_of_logs,
        )
        places = settings.slots + settings.queue + BESIDE
        deployment = Server.options(
            max_ongoing_requests=places,
            max_queued_requests=places,
            backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
            ray_actor_options={"num_cpus": settings.threads or 1},
            graceful_shutdown_timeout_s=2,
            logging_config=settings_of_logs,
        )
        try:
            serve.run(
                deployment.bind(source, settings), name=APPLICATION, route_prefix="/", logging_config=settings_of_logs
            )
        except RuntimeError as error:
            raise StageError(f"the server does not start: {error}", "see the logs of Ray Serve") from error
        yield
    finally:
        serve.shutdown()
