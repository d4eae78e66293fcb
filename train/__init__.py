"""From token shards to checkpoints: loader, loop, FSDP, pretraining and fine-tuning on Ray Train."""
