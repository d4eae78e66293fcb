"""The stage `pretrain` of the run whose folder is given, as the command does it, but without the stages before."""

from __future__ import annotations

import sys
from functools import partial

from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.session import ray_session
from crawl2chat.train.pretrain_stage import PRETRAIN

if __name__ == "__main__":
    run = Run.open(sys.argv[1])
    with run.lock():
        list(bring_up_to_date([PRETRAIN], run, partial(ray_session, run.recipe.resources, run.folder / "logs")))
