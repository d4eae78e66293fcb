"""The sides of the training benchmark that come as packages: Hugging Face's Trainer, and litgpt's pretraining step."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from _train_orders import Orders
from _train_side import random_tokens


class Rows(torch.utils.data.Dataset):
    """Rows of random tokens."""

    def __init__(self, shape: dict[str, int], length: int) -> None:
        tokens = random_tokens(shape)
        count = len(tokens) // length
        self.rows = torch.from_numpy(tokens[: count * length].astype("int64")).view(count, length)

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.rows[index % len(self.rows)]


def hf_trainer(settings: dict[str, Any]) -> None:
    """transformers' LlamaForCausalLM under its Trainer."""
    import transformers
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    transformers.utils.logging.set_verbosity_error()
    shape = settings["shape"]
    config = LlamaConfig(
        vocab_size=shape["vocab_size"],
        hidden_size=shape["width"],
        intermediate_size=shape["feed_forward"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=shape["context"],
        tie_word_embeddings=False,
        attn_implementation="sdpa",
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    orders = Orders(model.num_parameters())

    class Pace(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            orders.step_done()

    def collate(rows: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        tokens_BT = torch.stack(rows)
        return {"input_ids": tokens_BT, "labels": tokens_BT}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=shape["batch"],
            max_steps=1_000_000,
            learning_rate=1e-3,
            weight_decay=0.1,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            use_cpu=True,
            torch_compile=settings["compile"],
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(
            model, arguments, data_collator=collate, train_dataset=Rows(shape, shape["context"]), callbacks=[Pace()]
        )
        orders.wait()
        trainer.train()


def litgpt(settings: dict[str, Any]) -> None:
    """litgpt's GPT with the steps of its pretraining (litgpt/pretrain.py, fit), which takes data modules only."""
    import lightning
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.pretrain import get_lr
    from litgpt.utils import CycleIterator, chunked_cross_entropy

    shape = settings["shape"]
    config = Config(
        block_size=shape["context"],
        padded_vocab_size=shape["vocab_size"],
        vocab_size=shape["vocab_size"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        n_query_groups=shape["kv_heads"],
        n_embd=shape["width"],
        intermediate_size=shape["feed_forward"],
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
    )
    fabric = lightning.Fabric(accelerator="cpu", devices=1, precision="32-true")
    model: Any = GPT(config)
    orders = Orders(sum(parameter.numel() for parameter in model.parameters()))
    model = fabric.setup(torch.compile(model) if settings["compile"] else model)
    optimizer: Any = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    optimizer = fabric.setup_optimizers(optimizer)
    length = shape["context"] + 1
    loader = fabric.setup_dataloaders(torch.utils.data.DataLoader(Rows(shape, length), batch_size=shape["batch"]))
    orders.wait()
    for step, rows in enumerate(CycleIterator(loader)):
        for group in optimizer.param_groups:
            group["lr"] = get_lr(1e-3, step, 50, 1_000_000, 1e-4)
        input_ids, targets = rows[:, :-1].contiguous().long(), rows[:, 1:].contiguous().long()
        with fabric.no_backward_sync(model, enabled=False):
            loss = chunked_cross_entropy(model(input_ids), targets)
            fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            loss.item()
        orders.step_done()
