"""Ray Train's TorchTrainer without the two actors that a job of ours has no use for.

Each of Ray's Python processes costs a second of CPU to start and nearly a percent of a core while it lives, which a
small machine sees. The manager of datasets serves Ray Data's shards to workers, and ours read token shards themselves;
the cleaner removes placement groups of a controller that died, which launcher.py does itself.
"""

from __future__ import annotations

from typing import Any

from ray.train.torch import TorchTrainer

UNUSED = {"DatasetsCallback", "PlacementGroupCleanerCallback"}


class LeanTrainer(TorchTrainer):
    """A TorchTrainer that starts fewer actors; with a Ray that has no such callbacks, a plain one."""

    def _create_default_callbacks(self) -> list[Any]:
        return [callback for callback in super()._create_default_callbacks() if type(callback).__name__ not in UNUSED]
