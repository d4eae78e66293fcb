"""Errors of ours in the middle of training on Ray's workers: they end the stage at once, and say what is wrong."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.files import sha256_file
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.tokenize.shards import read_shard
from crawl2chat.train.fault import told_fault
from crawl2chat.train.loop import batch_indices
from crawl2chat.train.pretrain_stage import PRETRAIN

from .training_run import MODEL, job_of, play_run

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_token_outside_the_vocabulary_that_one_worker_reads_names_the_shard_and_both_digests(
    local_ray: None, shared_data: Path, tmp_path: Path
) -> None:
    """The second worker of two reads the token in its first batch; the shard is the first one's to verify.

    Nothing before the workers reads all tokens, or it would stumble over this one.
    """
    train = {"steps": 30, "batch": 6, "log_every": 1, "checkpoint_every": 10, "optimizer": {"warmup_steps": 5}}
    run = play_run(tmp_path, shared_data, train, resources={"train_workers": 2, "max_failures": 3})
    job = job_of(run)
    [path] = job.shards
    row = int(np.array_split(batch_indices(job.plan, 1, job.open_data()), 2)[1][0])
    tokens = read_shard(path).tokens
    content = bytearray(path.read_bytes())
    content[content.find(tokens.tobytes()) + 2 * (row * MODEL["context"] + 3) + 1] ^= 128
    path.write_bytes(content)
    with pytest.raises(ContractError) as caught:
        list(bring_up_to_date([PRETRAIN], run, nullcontext))
    for named in (str(path), job.shards[path], sha256_file(path)):
        assert named in str(caught.value)
    folder = run.stage("pretrain")
    assert not list((folder / "checkpoints").iterdir()) and told_fault(folder) is None
    assert len(list((folder / "tensorboard").iterdir())) == 1  # training began once
