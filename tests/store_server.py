"""An S3 server on loopback: moto's, as a process of its own, with a bucket and a planted secret key.

It believes every key, except where it is made `guarded`: then it knows none.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEY_ID = "AKIAPLANTEDKEYID0000"
SECRET = "planted/Secret+Key0123456789abcdefghij"
BUCKET = "bucket"


class StoreServer:
    """`variables` of the environment lead to it, and nowhere else."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.variables = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(folder / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
            "CRAWL2CHAT_CACHE": str(folder / "cache"),
        }

    @property
    def client(self) -> Any:
        """What looks at the bucket without our code."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """All that lies in the bucket."""
        client, found = self.client, {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            for one in page.get("Contents", []):
                found[one["Key"]] = client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
        return found

    def uploads(self) -> list[str]:
        """The uploads in parts that nobody has ended."""
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


@contextmanager
def running(folder: Path, guarded: bool = False) -> Iterator[StoreServer]:
    """The server, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = StoreServer(port, folder)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = os.environ | ({"INITIAL_NO_AUTH_ACTION_COUNT": "0"} if guarded else {})
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            end = time.monotonic() + 60
            while True:
                assert process.poll() is None and time.monotonic() < end, (folder / "server.log").read_text()
                with socket.socket() as asking:
                    asking.settimeout(1)
                    if asking.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            if not guarded:
                server.client.create_bucket(Bucket=BUCKET)
            yield server
        finally:
            process.kill()
            process.wait()
