"""Two network namespaces with a cable between them, that can be cut."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

INTERFACE = "eth0"  # of either end


class Cable:
    """The ends have the addresses `ips`; `prefixes` are what a command begins with that runs there."""

    ips = ("192.0.2.1", "192.0.2.2")

    def __init__(self) -> None:
        self.names = [f"c2c-{os.getpid()}-{side}" for side in "ab"]
        self.prefixes = [("ip", "netns", "exec", name) for name in self.names]

    def lay(self) -> None:
        for name in self.names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        first, second = self.names
        _ip("-n", first, "link", "add", INTERFACE, "type", "veth", "peer", "name", INTERFACE, "netns", second)
        for name, ip in zip(self.names, self.ips, strict=True):
            _ip("-n", name, "address", "add", f"{ip}/24", "dev", INTERFACE)
        self.mend()

    def cut(self) -> None:
        """The first end hears nothing any more, and is not told why."""
        _ip("-n", self.names[1], "link", "set", INTERFACE, "down")

    def mend(self) -> None:
        for name in self.names:
            _ip("-n", name, "link", "set", INTERFACE, "up")

    def remove(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextmanager
def cable() -> Iterator[Cable]:
    """Skips the test where namespaces cannot be made, but never in CI."""
    laid = Cable()
    try:
        try:
            laid.lay()
        except (OSError, subprocess.CalledProcessError) as error:
            why = f"network namespaces cannot be made: {getattr(error, 'stderr', '') or error}"
            pytest.fail(f"{why}: CI must be able to") if os.environ.get("CI") else pytest.skip(why)
        yield laid
    finally:
        laid.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
