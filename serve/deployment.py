"""The application on Ray Serve: one replica, which holds the model, its engine's thread and the HTTP application.

One replica is enough for a model that fits a machine: the engine batches by itself, so Serve is to hand it every
request at once and not to queue. What the replica's own limits let through anyway (connections that only ask for the
page) is bounded far above them.

Serve ends its proxy at once, and a replica (`__del__`) only when it has no requests any more. So the replica is told
before Serve is: requests on their way get their error while there is still a proxy that sends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ray import serve
from ray.exceptions import RayError
from ray.serve.config import BackpressureConfig, ProxyLocation
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from ..core.errors import InputError, StageError
from ..core.log import log
from .app import build_app
from .backend import Backend
from .settings import ServerSettings, Source

APPLICATION = "crawl2chat"
BESIDE = 512  # requests in the replica above slots and queue: answered with 429, or for a file
TELLING = 1.0  # seconds in which the errors of requests on their way reach the clients


@serve.deployment(name=APPLICATION, num_replicas=1, max_constructor_retry_count=1, graceful_shutdown_wait_loop_s=0.2)
@serve.ingress()
class Server:
    """Made in the replica; Serve asks it for the application afterwards."""

    def __init__(self, source: Source, settings: ServerSettings) -> None:
        self._backend = Backend.open(source, settings)
        self._backend.worker.start()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return build_app(self._backend)

    async def stop(self) -> None:
        """End the engine: requests on their way get an error, later ones 503."""
        load = self._backend.worker.load
        await asyncio.to_thread(self._backend.worker.stop)
        if load.running + load.waiting:
            await asyncio.sleep(TELLING)

    def check_health(self) -> None:
        if not self._backend.worker.alive:
            raise RuntimeError("the engine's thread has ended")


@contextmanager
def served(
    source: Source, settings: ServerSettings, host: str, port: int, stopped: threading.Event | None = None
) -> Iterator[bool]:
    """Serve until the block ends, in the Ray session that there is. Requests that are being answered then get an error.

    `stopped`, set while things start, ends that after the step at hand: the block gets False instead of True. Raises
    InputError when Serve runs in this Ray already, StageError when the proxy or the replica does not start.
    """
    if serve.status().proxies:
        raise InputError(
            "Ray Serve runs on this Ray already, with an address of its own",
            "stop it (serve shutdown), or unset the address",
        )
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # in this process Serve has set it to INFO
    handle = None
    try:
        try:
            handle = _start(source, settings, host, port, stopped or threading.Event())
        except (RuntimeError, TimeoutError, RayError) as error:
            if stopped is None or not stopped.is_set():
                raise StageError(
                    f"the server does not start: {error}",
                    "see the logs of Ray Serve, in logs/ray/session_*/serve of the run's or the model's folder; where "
                    "other programs keep the machine busy, try again",
                ) from error
        yield handle is not None and not (stopped and stopped.is_set())
    finally:
        if handle is not None:
            _tell(handle)
        serve.shutdown()


def _start(
    source: Source, settings: ServerSettings, host: str, port: int, stopped: threading.Event
) -> DeploymentHandle | None:
    """Serve's proxy, then the replica; None when `stopped` was set in between."""
    settings_of_logs = {"log_level": "WARNING", "enable_access_log": False}
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options={"host": host, "port": port},
        logging_config=settings_of_logs,
    )
    if stopped.is_set():
        return None
    places = settings.slots + settings.queue + BESIDE
    deployment = Server.options(
        max_ongoing_requests=places,
        max_queued_requests=places,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        ray_actor_options={"num_cpus": settings.threads or 1},
        graceful_shutdown_timeout_s=2,
        logging_config=settings_of_logs,
    )
    application = deployment.bind(source, settings)
    return serve.run(application, name=APPLICATION, route_prefix="/", logging_config=settings_of_logs)


def _tell(handle: DeploymentHandle) -> None:
    """Let the replica end its requests, if it still can."""
    try:
        handle.stop.remote().result(timeout_s=TELLING + 10)
    except Exception as error:  # it has died, or is stuck: Serve's shutdown comes next in any case
        log.warning("the replica cannot end its requests: %s", type(error).__name__)
