"""The few calls to an object store, by fsspec's programs for them: s3fs, or gcsfs for gs://.

Keys are as fsspec has them: bucket/folder/file. Nothing is remembered between calls: other machines write as well.
Credentials are what the store's own tools find in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_PROFILE, AWS_ENDPOINT_URL, a machine's role, …); none are given to them here.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

from .errors import RecipeError
from .remote_path import PACKAGES
from .store_failures import code_of, told_by

IN_PARTS = 32 << 20  # bytes from which on s3fs is left to put an object, from 100 MB on in parts
REMOVED_AT_ONCE = 1000  # what S3 takes by one call
UNMET = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404"}  # S3's words, of a put


@dataclass(frozen=True)
class Found:
    """An object, or a folder: `changed` in seconds since 1970; `tag` is another for other bytes."""

    size: int
    changed: float
    tag: str
    folder: bool = False


class Changed(Exception):
    """An object is not the one that was to be replaced."""


def store_of(protocol: str) -> ObjectStore:
    """The store of this process for s3 or gs."""
    return _store_of(protocol, os.getpid())


@cache
def _store_of(protocol: str, process: int) -> ObjectStore:
    if importlib.util.find_spec(PACKAGES[protocol]) is None:
        raise RecipeError(
            f"{protocol}:// needs the package {PACKAGES[protocol]}, which is not installed",
            f"pip install {PACKAGES[protocol]}",
        )
    return ObjectStore(protocol)


class ObjectStore:
    """Raises StoreError, with a fix, where the store refuses or does not answer."""

    def __init__(self, protocol: str) -> None:
        import fsspec

        self.protocol = protocol
        self.files: Any = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True)

    def find(self, key: str, folders: bool = True) -> Found | None:
        """What stands at this key: an object, else a folder, else None. Without `folders` S3 is asked but once."""
        with told_by(self.protocol, key):
            try:
                if self.protocol == "s3" and not folders:
                    bucket, _, name = key.partition("/")
                    head = self.files.call_s3("head_object", Bucket=bucket, Key=name) if name else None
                    return _found(head | {"type": "file", "size": head["ContentLength"]}) if head else None
                found = _found(self.files.info(key, refresh=True))
            except FileNotFoundError:
                return None
        return None if found.folder and not folders else found

    def names(self, key: str) -> list[str]:
        """Names of the files and folders right below it."""
        with told_by(self.protocol, key):
            try:
                listed = self.files.ls(key, detail=True, refresh=True)
            except FileNotFoundError:
                return []
        names = {one["name"].rstrip("/").removeprefix(f"{key}/") for one in listed}
        return sorted(name for name in names if name and name != key)

    def below(self, key: str) -> dict[str, Found]:
        """All files below it, by their names relative to it."""
        with told_by(self.protocol, key):
            listed = self.files.find(key, detail=True)
        found = {name.removeprefix(f"{key}/"): _found(one) for name, one in listed.items() if name != key}
        return {name: one for name, one in found.items() if name and not name.endswith("/")}

    def get(self, key: str, target: Path) -> None:
        with told_by(self.protocol, key):
            self.files.get_file(key, str(target))

    def read(self, key: str) -> bytes:
        with told_by(self.protocol, key):
            return self.files.cat_file(key)

    def put(self, source: Path, key: str) -> Found:
        """Write a whole object: others see all of it, or what was there before."""
        size = source.stat().st_size
        with told_by(self.protocol, key):
            if self.protocol == "s3" and size < IN_PARTS:  # without another question for the tag
                bucket, _, name = key.partition("/")
                put = self.files.call_s3("put_object", Bucket=bucket, Key=name, Body=source.read_bytes())
                return Found(size, time.time(), put["ETag"])
            self.files.put_file(str(source), key)
            return _found(self.files.info(key, refresh=True))

    def copy(self, key: str, target: str) -> None:
        with told_by(self.protocol, key):
            self.files.cp_file(key, target)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are none to remove."""
        for start in range(0, len(keys), REMOVED_AT_ONCE):
            some = list(keys[start : start + REMOVED_AT_ONCE])
            with told_by(self.protocol, some[0]):
                if self.protocol == "s3":
                    names = [{"Key": key.partition("/")[2]} for key in some]
                    bucket = some[0].partition("/")[0]
                    self.files.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": names, "Quiet": True})
                    continue
                for key in some:
                    with suppress(FileNotFoundError):
                        self.files.rm_file(key)

    def create(self, key: str, data: bytes) -> str:
        """Write an object that is not there yet: its tag. Raises FileExistsError; of two processes one succeeds."""
        with told_by(self.protocol, key):
            if self.protocol == "s3":
                return self._put_if(key, data, FileExistsError(key), IfNoneMatch="*")
            self.files.pipe_file(key, data, mode="create")
            return _found(self.files.info(key, refresh=True)).tag

    def exchange(self, key: str, data: bytes, tag: str) -> str:
        """Write in place of the object with this tag: the new tag. Raises Changed when it is another one by now."""
        with told_by(self.protocol, key):
            if self.protocol == "s3":
                return self._put_if(key, data, Changed(key), IfMatch=tag)
            found = self.find(key)  # not as safe: another may write between the look and the put
            if found is None or found.tag != tag:
                raise Changed(key)
            self.files.pipe_file(key, data)
            return _found(self.files.info(key, refresh=True)).tag

    def _put_if(self, key: str, data: bytes, otherwise: Exception, **condition: str) -> str:
        bucket, _, name = key.partition("/")
        try:
            return self.files.call_s3("put_object", Bucket=bucket, Key=name, Body=data, **condition)["ETag"]
        except Exception as failure:
            if code_of(failure) in UNMET:
                raise otherwise from None
            raise

    def age(self, key: str) -> tuple[str, float]:
        """An object's tag, and since when it stands, in seconds by the store's clock. Raises FileNotFoundError."""
        with told_by(self.protocol, key):
            if self.protocol == "s3":
                bucket, _, name = key.partition("/")
                head = self.files.call_s3("head_object", Bucket=bucket, Key=name)
                now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
                return head["ETag"], (now - head["LastModified"]).total_seconds()
            found = _found(self.files.info(key, refresh=True))
            return found.tag, time.time() - found.changed

    def abort_uploads(self, key: str) -> int:
        """Abort the uploads in parts that killed processes left below it; how many there were."""
        if self.protocol != "s3":  # of others such uploads end by themselves
            return 0
        bucket, _, prefix = key.partition("/")
        with told_by(self.protocol, key):
            number, behind = 0, {}
            while True:  # a page
                listed = self.files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **behind)
                left = listed.get("Uploads") or []
                for one in left:
                    where = {"Bucket": bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
                    self.files.call_s3("abort_multipart_upload", **where)
                number += len(left)
                if not listed.get("IsTruncated"):
                    return number
                behind = {"KeyMarker": listed["NextKeyMarker"], "UploadIdMarker": listed["NextUploadIdMarker"]}

    def check(self, key: str) -> None:
        """Raise StoreError when the bucket is not there, or not for us."""
        bucket = key.partition("/")[0]
        with told_by(self.protocol, key, bucket=True):
            if self.protocol == "s3":
                self.files.call_s3("list_objects_v2", Bucket=bucket, Prefix=key.partition("/")[2], MaxKeys=1)
            else:
                self.files.ls(bucket, refresh=True)


def _found(info: dict[str, Any]) -> Found:
    if info["type"] == "directory":
        return Found(0, 0.0, "", folder=True)
    changed: Any = info.get("LastModified") or info.get("mtime") or info.get("updated")
    seconds = changed.timestamp() if hasattr(changed, "timestamp") else 0.0
    return Found(int(info.get("size") or 0), seconds, str(info.get("ETag") or info.get("etag") or ""))
