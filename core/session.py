"""One Ray session for a command: a local Ray, or the cluster that runs already; quiet, its logs in the run's folder.

A local Ray listens on loopback alone, and so do the workers that train together in it.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from .errors import InputError, StoreError
from .files import folder_to_keep
from .log import copy_masked, log
from .placement import placed, taken_beside
from .raylet_watch import watched
from .settings_training import Resources

LOCAL_OBJECT_STORE = 512 << 20
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
IDLE_WORKER_MS = 600_000  # a restarted worker costs seconds on a small machine


@contextmanager
def ray_session(resources: Resources, logs: Path) -> Iterator[None]:
    """Connect to `resources.address` (or to RAY_ADDRESS, as in a submitted job), else start Ray here and stop it after.

    The workers' output goes to Ray's log files, not to the terminal; for a local Ray these are copied to logs/ray.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Serve kills a proxy that has not started within 5 s, as on a busy machine, while `serve.start` waits for it.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    import ray

    if ray.is_initialized():  # tests share one session
        with placed(resources):
            yield
        return
    address = resources.address or os.environ.get("RAY_ADDRESS")
    with nullcontext() if address else _loopback():
        yield from _started(resources, logs, address)


def _started(resources: Resources, logs: Path, address: str | None) -> Iterator[None]:
    """One step, while Ray runs."""
    import ray
    from ray.data import DataContext

    if address:
        try:
            context = ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
        except ConnectionError as error:
            raise InputError(
                f"no Ray at {address}: {error}", "start it (ray start --head), or unset the address"
            ) from error
    else:
        context = ray.init(
            address="local",  # also where another Ray runs on this machine: that one is joined only by its address
            num_cpus=resources.cpus,
            resources=resources.marks,
            object_store_memory=resources.object_store_bytes or LOCAL_OBJECT_STORE,
            logging_level=logging.ERROR,
            log_to_driver=False,
            include_dashboard=resources.dashboard,
            dashboard_host="127.0.0.1",
            _system_config={"idle_worker_killing_time_threshold_ms": IDLE_WORKER_MS},
        )
    data = DataContext.get_current()
    data.enable_progress_bars = False
    data.print_on_execution_start = False
    for handler in [h for h in logging.getLogger("ray.data").handlers if type(h).__name__ == "PlainRayHandler"]:
        handler.setLevel(logging.CRITICAL)  # what it has to say stands in its log file, and in our own errors
    session = None if address else Path(vars(context)["address_info"]["session_dir"])
    log.info("Ray %s at %s", ray.__version__, address or session)
    try:
        with watched(vars(context)["address_info"]["raylet_socket_name"]), placed(resources):
            yield
    finally:
        _shut_down()
        if session is not None:
            kept_as = logs / "ray" / session.name
            # the logs are a courtesy: not having them must not fail a finished run
            with suppress(OSError, StoreError), folder_to_keep(kept_as) as kept:
                shutil.copytree(session / "logs", kept, copy_function=copy_masked, dirs_exist_ok=True)


@contextmanager
def _loopback() -> Iterator[None]:
    """Within, a Ray that starts takes loopback's address for its machine's, and listens nowhere else.

    Ray has this switch for systems whose firewall would ask the user; without it, all but the dashboard listens on
    every interface. torch's collectives, which look for an interface by themselves, are told one.
    """
    from ray._private import ray_constants

    lo = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    told = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} | {name: lo for name in INTERFACES if lo}
    before = {name: os.environ.get(name) for name in told}
    known = ray_constants.ENABLE_RAY_CLUSTER  # read from the environment when Ray was imported
    os.environ.update(told)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = known
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def processors() -> dict[str, float]:
    """{CPU: …, GPU: …} of the Ray that this process is connected to, without what a training holds beside; nothing
    where it is to none."""
    ray = sys.modules.get("ray")  # who is connected has imported it
    if ray is None or not ray.is_initialized():
        return {}
    has = ray.cluster_resources()
    taken = taken_beside()
    return {kind: max(0.0, has[kind] - taken.get(kind, 0.0)) for kind in ("CPU", "GPU") if kind in has}


def _shut_down() -> None:
    """ray.shutdown, while no thread collects garbage: one that finds an ObjectRef in it then ends the whole process."""
    import ray

    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()
