"""DeepSpeed's ZeRO (Rajbhandari et al. 2020), stages 2 and 3, behind the same loop and the same checkpoints.

The model comes whole, with its AdamW, as it was built or loaded; DeepSpeed shards what it is given, in flat pieces.
For a checkpoint every tensor is put together again on every rank, in the form of the other strategies: a run may go on
under fsdp what it began here, and the other way round. The price is memory for the whole model on a rank when it
starts and when it saves; where that is missing, fsdp is the strategy to choose.

Mixed precision: bfloat16 weights with float32 masters, gradients reduced and accumulated in float32.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import RecipeError
from .world import World

MOMENTS = ("exp_avg", "exp_avg_sq")


class ZeroOptimizer:
    """What the loop and checkpoints need of an optimizer. The update clips by itself."""

    def __init__(self, zero: Zero, groups: list[dict[str, Any]]) -> None:
        self._zero, self._groups = zero, groups

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self._zero.engine.optimizer.param_groups

    def step(self) -> None:
        self._zero.engine.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, also those of an update that was left out."""
        self._zero.forget_gradients()

    def state_dicts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Whole weights, and optimizer state by name, in the form of torch's `get_state_dict`. On all ranks at once."""
        weights, state = {}, {}
        for name, parameter in self._zero.module.named_parameters():
            weights[name] = self._zero.read(parameter, None)
            state[name] = {key: self._zero.read(parameter, key) for key in MOMENTS}
            state[name]["step"] = torch.tensor(float(self._zero.steps))
        groups = [
            {**{k: v for k, v in now.items() if k != "params"}, "params": names["params"]}
            for now, names in zip(self.param_groups, self._groups, strict=True)
        ]
        return weights, {"state": state, "param_groups": groups}


class Zero(nn.Module):
    """A DeepSpeed engine as a module; `optimizer` is its optimizer for the loop.

    Raises RecipeError when deepspeed is not installed.
    """

    def __init__(
        self,
        module: nn.Module,
        adamw: torch.optim.Optimizer,
        stage: int,
        precision: str,
        clip_norm: float,
        world: World,
    ) -> None:
        super().__init__()
        os.environ.setdefault("LOCAL_RANK", str(world.rank))
        if world.device.type == "cpu":
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        try:
            deepspeed: Any = importlib.import_module("deepspeed")
        except ImportError as error:
            raise RecipeError(
                "resources.parallel.strategy is deepspeed, but deepspeed is not installed",
                "install crawl2chat[deepspeed], or set resources.parallel.strategy=fsdp",
            ) from error
        # Used in inference alone, and compiled by the first process that starts, for half a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self.world, self.stage = world, stage
        names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
        groups = [{"params": [names[p] for p in group["params"]]} for group in adamw.param_groups]
        weights = {name: parameter.detach().clone() for parameter, name in names.items()}
        state = {names[parameter]: dict(kept) for parameter, kept in adamw.state.items()}
        adamw.state.clear()
        self.engine: Any = deepspeed.initialize(
            model=module, optimizer=adamw, config=_config(stage, precision, clip_norm), dist_init_required=False
        )[0]
        self.module = module
        self.optimizer = ZeroOptimizer(self, groups)
        self._put(weights, state)

    def forward(self, *arguments: Any, **named: Any) -> Tensor:
        return self.engine(*arguments, **named)

    def sync_gradients(self, now: bool) -> None:
        self.engine.set_gradient_accumulation_boundary(now)

    def backward(self, loss: Tensor) -> None:
        self.engine.backward(loss, scale_wrt_gas=False)
        if not self.engine.is_gradient_accumulation_boundary():
            self.engine.step()  # counts the micro-batch

    def gradient_norm(self) -> Tensor:
        """The norm of the whole gradient, before the step that clips it."""
        zero = self.engine.optimizer
        norms = zero._get_norm_groups() if self.stage == 3 else [zero.scaled_global_norm()]
        parts = torch.stack([norm.float() for norm in norms])
        parts = torch.where(parts < 0, torch.nan, parts)  # -1 is DeepSpeed's word for a norm that is not finite
        return parts.square().sum().sqrt()

    def forget_gradients(self) -> None:
        """As DeepSpeed does itself after an overflow: its step would have emptied the buffers."""
        zero = self.engine.optimizer
        zero.zero_grad(set_to_none=True)
        zero.averaged_gradients.clear()
        zero.micro_step_id = 0 if self.stage == 3 else -1  # the next backward pass is a step's first

    @property
    def steps(self) -> int:
        """Optimizer steps since the first of the run."""
        return next((int(state["step"]) for state in self.engine.optimizer.optimizer.state.values()), 0)

    @torch.no_grad()
    def read(self, parameter: nn.Parameter, key: str | None) -> Tensor:
        """A parameter's whole state of this key, or its master weight, float32, on every rank."""
        shape = getattr(parameter, "ds_shape", parameter.shape)
        whole = torch.zeros(shape, dtype=torch.float32, device=self.world.device)
        for flat, at, start, size in self._place(parameter):
            piece = flat if key is None else self._state(flat)[key]
            whole.view(-1)[start : start + size] = piece.view(-1)[at : at + size]
        return self.world.sum(whole)

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor], state: dict[str, dict[str, Any]]) -> None:
        """Masters and optimizer state of this rank's pieces: DeepSpeed makes masters of what it rounded to bfloat16."""
        for name, parameter in self.module.named_parameters():
            for flat, at, start, size in self._place(parameter):
                flat.view(-1)[at : at + size] = weights[name].view(-1)[start : start + size]
                kept = self._state(flat)
                for key in MOMENTS if name in state else ():
                    kept[key].view(-1)[at : at + size] = state[name][key].view(-1)[start : start + size]
                    kept["step"].fill_(float(state[name]["step"]))

    def _state(self, flat: Tensor) -> dict[str, Tensor]:
        """AdamW's state of a flat piece, made where there was no step yet."""
        state = self.engine.optimizer.optimizer.state[flat]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=flat.device)
            state.update({key: torch.zeros_like(flat) for key in MOMENTS})
        return state

    def _place(self, parameter: Any) -> Iterator[tuple[Tensor, int, int, int]]:
        """(flat piece, place in it, place in the parameter, elements) of what this rank holds of a parameter."""
        zero = self.engine.optimizer
        if self.stage == 3:
            group, at, padded = zero.grad_position[zero.get_param_id(parameter)]
            start = padded * self.world.rank
            size = max(0, min(padded, parameter.ds_numel - start))
            yield zero.fp32_partitioned_groups_flat[group], at, min(start, parameter.ds_numel), size
        elif (mapping := parameter._hp_mapping) is not None:
            here, there = mapping.hp_fragment_address, mapping.lp_fragment_address
            flat = zero.single_partition_of_fp32_groups[mapping.param_group_index]
            yield flat, here.start, there.start, here.numel


def _config(stage: int, precision: str, clip_norm: float) -> dict[str, Any]:
    half = {
        "bf16": {"enabled": True},
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
    }
    return {
        "train_micro_batch_size_per_gpu": 1,  # of no use: the loop says which micro-batch is a step's last
        "gradient_accumulation_steps": 1,
        "gradient_clipping": clip_norm,
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1 << 60,
        **(half if precision == "bf16" else {}),
    }
