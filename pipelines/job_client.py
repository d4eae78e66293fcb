"""The connection to a Ray job server: by token where there is one, and with errors that name the fix."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

NO_AGENT = "No available agent"  # what a job server says whose node cannot start a job, or cannot yet


@contextmanager
def job_server(address: str) -> Iterator[None]:
    """What Ray and the network raise about the connection, as one InputError with the fix."""
    use_token()
    from ray.exceptions import AuthenticationError
    from requests.exceptions import RequestException

    try:
        yield
    except AuthenticationError as error:
        raise InputError(
            f"{address} refuses us: {str(error).splitlines()[0]}",
            "set RAY_AUTH_MODE=token, and put the cluster's token into RAY_AUTH_TOKEN or ~/.ray/auth_token",
        ) from error
    except BrokenPipeError:  # of our own output
        raise
    except (ConnectionError, RequestException) as error:
        raise InputError(
            f"{address} does not answer: {str(error).splitlines()[0]}",
            "start Ray there (ray start --head), or open the tunnel (ray dashboard ray_cluster.yaml), "
            "and give the address of its dashboard",
        ) from error
    except RuntimeError as error:  # the client's word for every answer that is not 200
        if NO_AGENT in str(error):
            raise InputError(
                f"{address} has no agent that takes jobs",
                "another Ray on the head's machine may have its port: ray stop, and "
                "ray start --head --dashboard-agent-listen-port=52366",
            ) from error
        raise InputError(
            f"{address} answered, but not as Ray's job server: {str(error).splitlines()[0]}",
            "give the address of the dashboard of a Ray of the same version, with ray[default] installed",
        ) from error


def out_of_reach(error: Exception) -> bool:
    """Whether the cluster gave no answer, or none that a whole one gives: it may again."""
    from ray.exceptions import AuthenticationError
    from requests.exceptions import RequestException

    if isinstance(error, BrokenPipeError | AuthenticationError):  # of our own output; refused
        return False
    return isinstance(error, ConnectionError | RequestException | RuntimeError)


def connect(address: str) -> JobSubmissionClient:
    """A client of the job server at http://HOST:PORT, which has answered. To be called within `job_server`."""
    if not address.startswith(("http://", "https://")):
        raise InputError(
            f"--address {address!r} is not a web address", "give that of Ray's dashboard: http://HOST:8265"
        )
    from ray.job_submission import JobSubmissionClient

    for chatty in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{chatty}").setLevel(logging.WARNING)
    logging.getLogger("ray._private.runtime_env.packaging").setLevel(logging.WARNING)
    with _without("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # Ray would take these instead of `address`
        return JobSubmissionClient(address)


def use_token() -> None:
    """Use a token that lies ready, unless RAY_AUTH_MODE is set: so do `ray start` and `ray.init`, but not Ray's client.

    Ray reads the variable when it is first imported.
    """
    places = (Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "none")), Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(place.is_file() for place in places):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Hide environment variables for a moment."""
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
