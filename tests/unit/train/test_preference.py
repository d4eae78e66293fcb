"""DPO and IPO: TRL's losses and gradients, and figures that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.errors import RecipeError
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.huggingface import write_model
from crawl2chat.model.transformer import Transformer
from crawl2chat.train.preference import (
    Objective,
    PairLogProbs,
    divergence,
    pair_log_probs,
    preference_losses,
    preference_metrics,
    preference_sums,
    reference_log_probs,
)

PROMPTS, CHOSEN, REJECTED = [3, 5, 2], [6, 2, 9], [4, 7, 1]


def rows(prompts: list[int], chosen: list[int], rejected: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pairs with prompts and answers of these lengths, padded: tokens and answer mask, chosen ones first."""
    generator = torch.Generator().manual_seed(5)
    asked = [torch.randint(1, 97, (length,), generator=generator) for length in prompts]
    lengths = [*zip(asked, chosen, strict=True), *zip(asked, rejected, strict=True)]
    longest = max(len(prompt) + answer for prompt, answer in lengths)
    tokens, mask = torch.zeros(len(lengths), longest, dtype=torch.long), torch.zeros(len(lengths), longest).bool()
    for row, (prompt, answer) in enumerate(lengths):
        stop = len(prompt) + answer
        tokens[row, :stop] = torch.cat((prompt, torch.randint(1, 97, (answer,), generator=generator)))
        mask[row, len(prompt) : stop] = True
    return tokens, mask


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return rows(PROMPTS, CHOSEN, REJECTED)


@pytest.fixture
def models(small: ModelConfig) -> tuple[Transformer, Transformer]:
    """A policy that has moved away from its reference, by enough for log-ratios of several nats."""
    policy, reference = Transformer(small), Transformer(small)
    reference.init_weights(1)
    policy.load_state_dict(reference.state_dict())
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return policy, reference


def their_trainer(folder: Path, models: tuple[Transformer, Transformer], **settings: Any) -> Any:
    """TRL's own trainer around the two models as transformers has them."""
    trl = pytest.importorskip("trl", reason="not a dependency; pip install trl to run it")
    transformers = pytest.importorskip("transformers")
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers import models as kinds

    library = Tokenizer(kinds.WordLevel({"<pad>": 0, "a": 1, "b": 2, "c": 3}, unk_token="<pad>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=library, pad_token="<pad>", eos_token="<pad>")
    theirs = []
    for name, model in zip(("policy", "reference"), models, strict=True):
        write_model(folder / name, model, begin=0, stop=[0])
        theirs.append(transformers.AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32))
    arguments = trl.DPOConfig(
        output_dir=str(folder / "out"), use_cpu=True, bf16=False, report_to=[], gradient_checkpointing=False, **settings
    )
    return trl.DPOTrainer(
        theirs[0],
        theirs[1],
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
    )


def theirs(trainer: Any, tokens: torch.Tensor, answer: torch.Tensor) -> float:
    """TRL's loss of a batch; its gradient is added to the trainer's model."""
    trainer.model.train()
    end = [int(row.nonzero().max()) + 1 for row in answer]
    attention = torch.stack([torch.arange(tokens.shape[1]) < stop for stop in end]).long()
    inputs = {"input_ids": tokens, "attention_mask": attention, "completion_mask": answer.long()}
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.item()


def mine(models: tuple[Transformer, Transformer], batch: tuple, objective: Objective) -> float:
    policy, reference = models
    loss = preference_losses(pair_log_probs(policy, *batch), reference_log_probs(reference, *batch), objective).mean()
    loss.backward()
    return loss.item()


def assert_same_gradients(policy: Transformer, model: Any, folder: Path, scale: float = 1.0) -> None:
    """Names and layouts follow the writer of Hugging Face folders: a model whose weights are our gradients."""
    from safetensors.torch import load_file

    ours = Transformer(policy.config)
    ours.load_state_dict({name: one.grad for name, one in policy.named_parameters()})
    write_model(folder, ours, begin=0, stop=[0])
    gradients = load_file(folder / "model.safetensors")
    compared = 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(gradients[name], parameter.grad * scale, rtol=1e-5, atol=1e-5)
        compared += parameter.grad.abs().max() > 1e-3
    assert compared > 10, "gradients too small to compare"


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        (Objective(beta=0.3), "sigmoid"),
        (Objective(beta=2.0, length_normalised=True), "sigmoid_norm"),
        (Objective("ipo", beta=0.2, length_normalised=True), "ipo"),
    ],
    ids=["dpo", "length", "ipo"],
)
def test_losses_gradients_and_metrics_are_those_of_trl(models, batch, objective, kind, tmp_path: Path) -> None:
    trainer = their_trainer(tmp_path, models, loss_type=[kind], beta=objective.beta)
    expected = theirs(trainer, *batch)
    assert mine(models, batch, objective) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert_same_gradients(models[0], trainer.model, tmp_path / "gradients")
    policy = pair_log_probs(models[0], *batch)
    found = preference_metrics(
        preference_sums(policy, reference_log_probs(models[1], *batch), objective), objective.beta
    )
    found |= {"chosen": policy.chosen_P.mean().item(), "rejected": policy.rejected_P.mean().item()}
    names = {
        "preference_accuracy": "rewards/accuracies",
        "margin": "rewards/margins",
        "chosen_reward": "rewards/chosen",
        "rejected_reward": "rewards/rejected",
        "chosen": "logps/chosen",
        "rejected": "logps/rejected",
    }
    for name, name_there in names.items():
        assert found[name] == pytest.approx(trainer._metrics["train"][name_there][0], rel=1e-5, abs=1e-5), name


def test_label_smoothing_is_that_of_trl(models, batch, tmp_path: Path) -> None:
    """This TRL smooths labels in its loss `aot`, which sorts a batch first: of one pair alone it is cDPO."""
    objective = Objective(beta=0.3, label_smoothing=0.2)
    trainer = their_trainer(tmp_path, models, loss_type=["aot"], beta=0.3, label_smoothing=0.2)
    pairs = len(PROMPTS)
    expected = [theirs(trainer, *(x[[pair, pairs + pair]] for x in batch)) for pair in range(pairs)]
    assert mine(models, batch, objective) == pytest.approx(sum(expected) / pairs, rel=1e-5, abs=1e-5)
    assert_same_gradients(models[0], trainer.model, tmp_path / "gradients", scale=1 / pairs)
    assert mine(models, batch, objective) != pytest.approx(mine(models, batch, Objective(beta=0.3)), rel=1e-2)


def test_ipo_of_the_paper_is_that_of_trl_for_answers_of_one_token(models, tmp_path: Path) -> None:
    """TRL's is always of means over tokens; of one token, the sum is the mean."""
    batch = rows([3, 5, 2], [1, 1, 1], [1, 1, 1])
    trainer = their_trainer(tmp_path, models, loss_type=["ipo"], beta=0.2)
    expected = theirs(trainer, *batch)
    assert mine(models, batch, Objective("ipo", beta=0.2)) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert_same_gradients(models[0], trainer.model, tmp_path / "gradients")


def pair(chosen: float, rejected: float) -> PairLogProbs:
    tokens = (torch.tensor([4]), torch.tensor([2]))
    return PairLogProbs(torch.tensor([chosen]), torch.tensor([rejected]), *tokens)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Objective(beta=0.5), math.log1p(math.exp(-0.5 * 5))),
        (
            Objective(beta=0.5, label_smoothing=0.1),
            0.9 * math.log1p(math.exp(-2.5)) + 0.1 * math.log1p(math.exp(2.5)),
        ),
        (Objective(beta=0.5, length_normalised=True), math.log1p(math.exp(-0.5 * 1.75))),
        (
            Objective(beta=0.5, label_smoothing=0.1, length_normalised=True),
            0.9 * math.log1p(math.exp(-0.875)) + 0.1 * math.log1p(math.exp(0.875)),
        ),
        (Objective("ipo", beta=0.5), (5 - 1) ** 2),
        (Objective("ipo", beta=0.5, length_normalised=True), (1.75 - 1) ** 2),
    ],
)
def test_losses_by_hand(objective: Objective, expected: float) -> None:
    """Log-ratios of 3 over four tokens and -2 over two: a difference of 5, of means 0.75 + 1."""
    found = preference_losses(pair(-7.0, -9.0), pair(-10.0, -7.0), objective)
    assert found.tolist() == pytest.approx([expected], rel=1e-6)


def test_metrics_by_hand() -> None:
    """Means of -7 over four tokens and -9 over two: the chosen answer is the likelier one."""
    objective = Objective(beta=0.5)
    sums = preference_sums(pair(-7.0, -9.0), pair(-10.0, -7.0), objective)
    found = preference_metrics(sums, objective.beta)
    assert found == pytest.approx(
        {
            "validation_loss": math.log1p(math.exp(-2.5)),
            "preference_accuracy": 1.0,
            "ranking_accuracy": 1.0,
            "margin": 2.5,
            "chosen_reward": 1.5,
            "rejected_reward": -1.0,
            "kl_estimate": 1 / 6,
        }
    )
    assert preference_metrics(2 * sums, objective.beta) == found, "means, over however many batches"
    tied = preference_metrics(preference_sums(pair(-7.0, -9.0), pair(-7.0, -9.0), objective), objective.beta)
    assert tied["preference_accuracy"] == 0.5 and tied["ranking_accuracy"] == 1.0


def test_only_answers_count_and_rows_do_not_see_each_other_or_their_padding(models, batch) -> None:
    policy, _ = models
    tokens, answer = batch
    whole = torch.cat(pair_log_probs(policy, tokens, answer)[:2])
    for row in range(len(tokens)):
        stop = int(answer[row].nonzero().max()) + 1
        log_probs = policy(tokens[row, : stop - 1][None])[0].log_softmax(-1)
        expected = sum(log_probs[t - 1, tokens[row, t]] for t in range(1, stop) if answer[row, t])
        torch.testing.assert_close(whole[row], expected, rtol=1e-5, atol=1e-5)
    counts = torch.cat(pair_log_probs(policy, tokens, answer)[2:])
    assert counts.tolist() == [*CHOSEN, *REJECTED]


def test_divergence_is_the_sum_over_the_vocabulary(models, batch) -> None:
    policy, reference = models
    tokens, answer = batch
    p, q = (model(tokens[:, :-1]).log_softmax(-1) for model in models)
    expected = ((p.exp() * (p - q)).sum(-1) * answer[:, 1:]).sum() / answer[:, 1:].sum()
    torch.testing.assert_close(divergence(policy, reference, tokens, answer), expected, rtol=1e-4, atol=1e-6)
    assert expected > 0.05
    assert divergence(policy, policy, tokens, answer) == 0


@pytest.mark.parametrize("objective", [Objective(), Objective("ipo"), Objective(beta=1.0, length_normalised=True)])
def test_a_model_learns_which_answers_were_chosen(models, batch, objective: Objective) -> None:
    _, reference = models
    policy = Transformer(reference.config)
    policy.load_state_dict(reference.state_dict())
    at_reference = reference_log_probs(reference, *batch)

    def metrics() -> dict[str, float]:
        return preference_metrics(
            preference_sums(pair_log_probs(policy, *batch), at_reference, objective), objective.beta
        )

    first = metrics()
    assert first["preference_accuracy"] == 0.5 and first["margin"] == 0 and first["kl_estimate"] == 0
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        preference_losses(pair_log_probs(policy, *batch), at_reference, objective).mean().backward()
        optimizer.step()
    last = metrics()
    assert last["preference_accuracy"] == 1 and last["margin"] > 0.1
    assert divergence(policy, reference, *batch) > 0


def test_the_reference_has_no_gradient_and_stays_as_it_was(models, batch) -> None:
    _, reference = models
    reference.train()
    found = reference_log_probs(reference, *batch)
    assert not any(one.requires_grad for one in found) and reference.training


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"beta": 0.0}, "beta is 0.0"),
        ({"label_smoothing": 0.5}, "label_smoothing is 0.5"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"loss": "ipo", "label_smoothing": 0.1}, "with the loss ipo"),
        ({"loss": "hinge"}, "'hinge'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        replace(Objective(), **settings)
