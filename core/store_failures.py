"""What an object store refuses, as StoreError in words. The words of the store's programs do not tell credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .credentials import masked
from .errors import StoreAwayError, StoreError

CLIENTS = {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google"}  # whose errors are no OSErrors
KEYS = {
    "s3": "see to AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), and to what they are allowed to",
    "gs": "see to GOOGLE_APPLICATION_CREDENTIALS, and to what they are allowed to",
}
ENDPOINT = "see to AWS_ENDPOINT_URL and the network; the same command continues"


@contextmanager
def told_by(protocol: str, key: str, bucket: bool = False) -> Iterator[None]:
    """Raise what the block raises as StoreError, where it is the store's or the network's fault.

    FileNotFoundError and FileExistsError stay what they are, except of a `bucket`.
    """
    try:
        yield
    except FileExistsError:
        raise
    except FileNotFoundError as failure:
        if bucket or code_of(failure) == "NoSuchBucket":
            raise _no_bucket(protocol, key) from failure
        raise
    except PermissionError as failure:
        said = masked(str(failure))
        raise StoreError(f"{protocol}://{key}: the store refuses access: {said}", KEYS[protocol]) from failure
    except Exception as failure:
        if (error := _in_words(protocol, key, failure)) is None:
            raise
        raise error from failure


def _no_bucket(protocol: str, key: str) -> StoreError:
    name = key.partition("/")[0]
    return StoreError(f"there is no bucket {name} at {_where(protocol)}", "correct `storage`, or make the bucket")


def _in_words(protocol: str, key: str, failure: Exception) -> StoreError | None:
    """None for what is no failure of the store."""
    causes = [failure, *([failure.__cause__] if failure.__cause__ is not None else [])]
    names = {type(one).__name__ for one in causes}
    client = any(base.__module__.partition(".")[0] in CLIENTS for one in causes for base in type(one).__mro__)
    if not client and not isinstance(failure, ConnectionError | TimeoutError):
        return None
    said = masked(str(failure))
    if any("Credentials" in name for name in names):
        return StoreError(f"{protocol}://{key}: no credentials: {said}", KEYS[protocol])
    if any("Connect" in name or "Timeout" in name or "SSL" in name for name in names):
        return StoreAwayError(f"no answer from {_where(protocol)} for {protocol}://{key}: {said}", ENDPOINT)
    return StoreAwayError(f"{protocol}://{key}: {type(failure).__name__}: {said}", "the same command continues")


def _where(protocol: str) -> str:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if protocol == "s3" else ("STORAGE_EMULATOR_HOST",)
    return masked(next((os.environ[name] for name in names if os.environ.get(name)), f"{protocol}://"))


def code_of(failure: BaseException | None) -> str:
    """What S3 calls the failure, which s3fs hands on as the cause of another."""
    while failure is not None:
        response = getattr(failure, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        failure = failure.__cause__
    return ""
