"""Weights of the transformers library, drawn at random, in our networks: outputs and gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import weft
from weft.cli import main
from weft.runtime.checkpoint import load

transformers = pytest.importorskip("transformers")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NORMS = 1e-12  # what these configurations add to a variance, where ours can be told


@dataclass(frozen=True)
class Family:
    """A small network of theirs, the settings that make ours the same, and what both are fed."""

    spec: str
    settings: dict[str, Any]
    theirs: Callable[[], nn.Module]
    outputs: Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]
    feeds: Callable[[], tuple[Tensor, ...]]
    variant: str | None = None


def tokens(count: int = 90) -> Tensor:
    """None is 0, which BERT's table there takes for padding and gives no gradient."""
    return torch.randint(1, count, (3, 11), generator=torch.Generator().manual_seed(4))


def gpt2() -> nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=90, n_positions=20, n_embd=24, n_layer=2, n_head=3)
    )


def llama() -> nn.Module:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=90, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
            max_position_embeddings=20,
        )
    )  # fmt: skip


def bert() -> nn.Module:
    return transformers.BertForPreTraining(
        transformers.BertConfig(
            vocab_size=90, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
            intermediate_size=96, max_position_embeddings=20,
        )
    )  # fmt: skip


class NoKinds(nn.Module):
    """In place of the vectors for the first and the second sentence."""

    def forward(self, kinds: Tensor) -> float:
        return 0.0


def masked() -> nn.Module:
    net = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=256, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
            intermediate_size=96, max_position_embeddings=20, layer_norm_eps=1e-5,
        )
    )  # fmt: skip
    net.bert.embeddings.token_type_embeddings = NoKinds()
    return net


def vit() -> nn.Module:
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96,
            image_size=16, patch_size=4, num_labels=7,
        )
    )  # fmt: skip


def bert_feeds() -> tuple[Tensor, ...]:
    segment = torch.arange(11).expand(3, 11) // 6
    return tokens(), segment, torch.arange(11) < torch.tensor([[11], [4], [8]])


def bert_outputs(net: nn.Module, feeds: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    ids, segment, mask = feeds
    found = net(input_ids=ids, token_type_ids=segment, attention_mask=mask.long())
    return found.prediction_logits, found.seq_relationship_logits


SMALL = {"width": 24, "heads": 3, "depth": 2, "vocab": 90, "context": 20, "drop": 0}
FAMILIES = {
    "gpt2": Family(
        "gpt2/gpt2.weft", SMALL,
        gpt2, lambda net, x: (net(x[0]).logits,), lambda: (tokens(),),
    ),
    "llama": Family(
        "llama/llama.weft",
        {"width": 24, "heads": 4, "key_heads": 2, "depth": 2, "hidden": 40, "vocab": 90},
        llama, lambda net, x: (net(x[0]).logits,), lambda: (tokens(),),
    ),
    "bert": Family(
        "bert/bert.weft",
        SMALL,
        bert, bert_outputs, bert_feeds, "pretraining",
    ),
    "masked": Family(
        "bert/masked.weft",
        {"width": 24, "heads": 3, "depth": 2, "length": 20, "drop": 0},
        masked, lambda net, x: (net(x[0]).logits,), lambda: (tokens(),), "bert",
    ),
    "vit": Family(
        "vit/vit.weft",
        {"width": 24, "heads": 3, "depth": 2, "patch": 4, "size": 16, "classes": 7, "eps": NORMS},
        vit, lambda net, x: (net(x[0]).logits,),
        lambda: (torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2)),),
    ),
}  # fmt: skip


def published(family: Family, folder: Path) -> nn.Module:
    """Their network with weights large enough that every part matters, and its file."""
    torch.manual_seed(1)
    net = family.theirs().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    net.save_pretrained(folder)
    return net


def command(family: Family, source: Path, out: Path) -> list[str]:
    given = [f"--set={name}={value}" for name, value in family.settings.items()]
    given += [f"--variant={family.variant}"] if family.variant else []
    spec = str(EXAMPLES / family.spec)
    return ["import-weights", spec, *given, "--from", str(source), "-o", str(out)]


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_and_gradients_agree(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    theirs = published(family, tmp_path / "theirs")
    out = tmp_path / "ours.safetensors"
    assert main(command(family, tmp_path / "theirs", out)) == 0
    spec = weft.load(EXAMPLES / family.spec, variant=family.variant, params=family.settings)
    program = weft.compile(spec, target="cpu")
    program.load_state_dict({k: torch.tensor(v) for k, v in load(out).tensors.items()})
    ours = program.net
    feeds = family.feeds()
    wanted = family.outputs(theirs, feeds)
    given = tuple(x.to(torch.int32) if x.dtype == torch.int64 else x for x in feeds)
    found = ours(*given)
    found = found if isinstance(found, tuple) else (found,)
    torch.manual_seed(7)
    loss, twin = torch.zeros(()), torch.zeros(())
    for y, z in zip(found, wanted, strict=True):
        assert y.shape == z.shape
        assert (y - z).abs().max() <= 2e-5 * max(1.0, float(z.detach().abs().max()))
        weight = torch.randn(z.shape)
        loss, twin = loss + (y * weight).sum(), twin + (z * weight).sum()
    loss.backward()
    twin.backward()
    gradients(ours, theirs, family, tmp_path)


def gradients(ours: nn.Module, theirs: nn.Module, family: Family, folder: Path) -> None:
    """Their gradients go the way of their weights: written, imported, compared.

    Where terms cancel, as in the bias of keys, what is left is rounding: 2e-7 of the largest.
    """
    with torch.no_grad():
        for parameter in theirs.parameters():
            assert parameter.grad is not None
            parameter.copy_(parameter.grad)
    theirs.save_pretrained(folder / "gradients")
    assert main(command(family, folder / "gradients", folder / "gradients.st")) == 0
    wanted = load(folder / "gradients.st").tensors
    (net,) = {name.partition(".")[0] for name in wanted}
    largest = max(float(np.abs(g).max()) for g in wanted.values())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        want = wanted[f"{net}.{name}"]
        error = np.abs(parameter.grad.numpy() - want).max()
        assert error <= 1e-4 * max(float(np.abs(want).max()), 2e-3 * largest), name
