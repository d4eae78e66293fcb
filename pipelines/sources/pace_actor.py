"""One Pace for all workers of a run: a named Ray actor. Outside Ray, one for each process."""

from __future__ import annotations

from typing import Any

from .pace import Pace, Paced

_local: dict[tuple[str, float], Pace] = {}


class ActorPace:
    """A Pace that lives in an actor. Whoever asks first starts it; it lives as long as one that asked first lives."""

    def __init__(self, name: str, per_second: float) -> None:
        self._name, self._per_second = f"crawl2chat-pace-{name}-{per_second:g}", per_second
        self._actor: Any = self._start()

    def _start(self) -> Any:
        import ray

        options = {"name": self._name, "get_if_exists": True, "num_cpus": 0, "max_restarts": -1}
        return ray.remote(Pace).options(**options).remote(self._per_second)

    def _ask(self, method: str, *arguments: float) -> Any:
        import ray
        from ray.exceptions import RayActorError

        try:
            return ray.get(getattr(self._actor, method).remote(*arguments))
        except RayActorError:  # its owner died: another one takes its place
            self._actor = self._start()
            return ray.get(getattr(self._actor, method).remote(*arguments))

    def reserve(self) -> float:
        return self._ask("reserve")

    def hold(self, seconds: float) -> None:
        self._ask("hold", seconds)


def shared_pace(name: str, per_second: float) -> Paced:
    """The pace that all workers of this run share under this name."""
    import sys

    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return ActorPace(name, per_second)
    return _local.setdefault((name, per_second), Pace(per_second))
