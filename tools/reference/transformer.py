#!/usr/bin/env python3
"""One step of small Transformers in PyTorch, for crates/fp8-models/tests/transformer.rs.

    pip install torch torchvision numpy safetensors
    transformer.py crates/fp8-models/tests/fixtures/transformer-fp32.json

Layers are PyTorch's own; loss, logits and gradients are kept as gnmt.py keeps them, of a post-norm network whose tables are its own and of
a pre-norm network with one table.
"""

import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from gnmt import LENGTHS, SMOOTHING, STEPS_IN, STEPS_OUT, TARGET_LENGTHS, VOCABULARY, tokens
from step import relative, round_floats, sketch, uniform
from torch import nn

WIDTH, HEADS, INNER, LAYERS = 24, 3, 40, 2


def own(name):
    """The weights of a name, by the hash."""

    def of(shape):
        norm = ".norm" in name and name.endswith("weight")
        return uniform(name, shape, 0.3, 1.0 if norm else 0.0)

    return of


def positions(steps, dtype):
    angles = torch.arange(steps, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1)[:, None].float().to(dtype)


class Transformer(nn.Module):
    def __init__(self, pre):
        super().__init__()
        self.pre, shape = pre, dict(d_model=WIDTH, nhead=HEADS, dim_feedforward=INNER, dropout=0.0, norm_first=pre)
        last = lambda: nn.LayerNorm(WIDTH) if pre else None
        self.embedder = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**shape), LAYERS, last(), enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**shape), LAYERS, last())
        self.decoder.embedder = self.embedder if pre else nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.classifier = nn.Linear(WIDTH, VOCABULARY)
        if pre:
            self.classifier.weight = self.embedder.weight

    def forward(self, source, lengths, target):
        embed = lambda table, x: table(x) * math.sqrt(WIDTH) + positions(x.shape[0], table.weight.dtype)
        missing = torch.arange(source.shape[0])[None] >= lengths[:, None]
        memory = self.encoder(embed(self.embedder, source), src_key_padding_mask=missing)
        future = torch.ones(target.shape[0], target.shape[0], dtype=torch.bool).triu(1)
        y = self.decoder(embed(self.decoder.embedder, target), memory, tgt_mask=future, memory_key_padding_mask=missing)
        return self.classifier(y)


def parts(name, tensor):
    """Names and slices under which a tensor of PyTorch's stands in a state dict of ours."""
    for joint, kind in (("in_proj_weight", "weight"), ("in_proj_bias", "bias")):
        if name.endswith(joint):
            names = [f"{name.removesuffix(joint)}{x}_proj.{kind}" for x in "qkv"]
            return [(n, t) for n, t in zip(names, tensor.chunk(3)) if not n.endswith("k_proj.bias")]
    return [(name, tensor)]


def run(pre, dtype):
    torch.manual_seed(0)
    model = Transformer(pre)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.zero_()
            for part, view in parts(name, p):
                view.copy_(own(part)(tuple(view.shape)))
    model.to(dtype)
    source, target = tokens("source", STEPS_IN, LENGTHS), tokens("target", STEPS_OUT + 1, [n + 1 for n in TARGET_LENGTHS])
    logits = model(source, torch.tensor(LENGTHS), target[:-1])
    loss = F.cross_entropy(logits.flatten(0, 1), target[1:].flatten(), ignore_index=0, label_smoothing=SMOOTHING)
    loss.backward()
    gradients = {f"grad.{n}": g for name, p in model.named_parameters() for n, g in parts(name, p.grad)}
    return loss.item(), logits.detach(), gradients


def fixture(pre):
    loss, logits, gradients = run(pre, torch.float64)
    narrow = run(pre, torch.float32)[2]
    tensors = {k: round_floats({"sketch": sketch(k, v), "spread": relative(narrow[k].double(), v)}) for k, v in gradients.items()}
    print("pre" if pre else "post", "loss", loss, "largest spread", max(tensor["spread"] for tensor in tensors.values()))
    head = {"torch": torch.__version__, "loss": loss, "logits": {"sketch": [float(f"{x:.9g}") for x in sketch("logits", logits)]}}
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in head.items())
    rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in tensors.items())
    return "{\n" + lines + ',\n"tensors": {\n' + rows + "\n}}"


def main():
    text = ",\n".join(f"{json.dumps(name)}: {fixture(pre)}" for name, pre in (("post", False), ("pre", True)))
    pathlib.Path(sys.argv[1]).write_text("{\n" + text + "\n}\n")


if __name__ == "__main__":
    main()
