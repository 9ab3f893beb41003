#!/usr/bin/env python3
"""One training step of a torchvision ResNet in PyTorch, in FP32 or fake-quantised as the recipe fp8-rne: what
`fp8-trainer step` and crates/fp8-models/tests/pytorch.rs are compared with.

    pip install torch torchvision numpy safetensors
    step.py --model resnet18 --weights W.safetensors --batch B.safetensors --output O.safetensors [--recipe fp8-rne]
    step.py --fixtures crates/fp8-models/tests/fixtures
    step.py --spread 4

The first form reads a state dict and `input` (NCHW, f32), `target` (i64), and writes loss, logits, grad.NAME (un-scaled) and
param.NAME after one step of SGD. The second writes the committed fixtures: weights and batch come from a hash that the
test has too; each tensor is kept as its L2 norm and 8 projections on random signs, from which the norm of a difference
is estimated without keeping the tensor. The third measures how far PyTorch in fp8-rne is from itself summed in FP64.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file

LOSS_SCALE = 1024.0  # of the fake-quantised step; --loss-scale sets it
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4

# Formats: what a tensor becomes when it is stored.


def exact(x):
    return x


def f16(x):
    return x.to(torch.float32).to(torch.float16).to(x.dtype)


def e5m2(x):
    return x.to(torch.float32).to(torch.float8_e5m2).to(x.dtype)


class Stored(torch.autograd.Function):
    """Rounds a value on the way forward and its gradient on the way back."""

    @staticmethod
    def forward(ctx, x, forward, backward):
        ctx.round = backward
        return forward(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.round(dy), None, None


class Rectified(torch.autograd.Function):
    """A ReLU whose output is stored rounded: its gradient passes where the stored output is positive."""

    @staticmethod
    def forward(ctx, x, forward, backward):
        y = forward(torch.relu(x))
        ctx.save_for_backward(y)
        ctx.round = backward
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return ctx.round(dy) * (y > 0), None, None


class Network:
    """torchvision's ResNet, with its Q nodes written out. `low` stores most layers, `high` the exempt ones."""

    def __init__(self, model, stem, low, high):
        self.model, self.stem, self.low, self.high = model, stem, low, high
        self.gradients = {}

    def weight(self, name, format):
        """The working copy; its gradient is stored in the same format, as it arrives."""
        return Stored.apply(self.model.get_parameter(name), format, format)

    def conv(self, x, name, module, format):
        y = F.conv2d(x, self.weight(f"{name}.weight", format), None, module.stride, module.padding)
        return Stored.apply(y, format, format)

    def norm(self, x, module, residual=None, relu=True):
        y = F.batch_norm(x, None, None, module.weight, module.bias, True, 0.0, module.eps)
        y = y if residual is None else y + residual
        return (Rectified if relu else Stored).apply(y, self.low, self.low)

    def block(self, x, name, block):
        pairs = [(f"{name}.conv{i}", getattr(block, f"conv{i}"), getattr(block, f"bn{i}")) for i in (1, 2, 3)
                 if hasattr(block, f"conv{i}")]
        # Two errors meet at x; the first to arrive is stored before the second is added to it and the sum is stored.
        if block.downsample is None:
            y, shortcut = x, Stored.apply(x, exact, self.low)
        else:
            y = Stored.apply(x, exact, self.low)
            shortcut = self.conv(x, f"{name}.downsample.0", block.downsample[0], self.low)
            shortcut = self.norm(shortcut, block.downsample[1], relu=False)
        for conv, module, norm in pairs[:-1]:
            y = self.norm(self.conv(y, conv, module, self.low), norm)
        conv, module, norm = pairs[-1]
        return self.norm(self.conv(y, conv, module, self.low), norm, shortcut)

    def logits(self, x):
        model, high = self.model, self.high
        x = self.norm(self.conv(high(x), "conv1", model.conv1, high), model.bn1)
        if self.stem == "imagenet":
            x = Stored.apply(F.max_pool2d(x, 3, 2, 1), self.low, self.low)
        for stage in range(1, 5):
            for index, block in enumerate(getattr(model, f"layer{stage}")):
                x = self.block(x, f"layer{stage}.{index}", block)
        x = Stored.apply(x.mean((2, 3)), high, high)
        y = F.linear(x, self.weight("fc.weight", high), model.fc.bias)
        return Stored.apply(y, exact, high)


def build(name, stem, classes, state, dtype):
    model = getattr(torchvision.models, name)(weights=None, num_classes=classes)
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    model.load_state_dict(state, strict=False)
    return model.to(dtype).train()


def step(name, stem, recipe, state, x, target, dtype=torch.float32, loss_scale=LOSS_SCALE):
    """loss, logits, gradients and updated parameters, in FP64 arrays."""
    classes = state["fc.bias"].shape[0]
    model = build(name, stem, classes, state, dtype)
    if recipe == "fp8-rne":  # masters of weights are FP16
        for name_, p in model.named_parameters():
            if p.dim() > 1:
                p.data = f16(p.data)
    masters = {name_: p.detach().clone() for name_, p in model.named_parameters()}
    if recipe == "fp32":
        scale, logits = 1.0, model(x.to(dtype))  # torchvision's own forward pass
    else:
        scale, logits = loss_scale, Network(model, stem, e5m2, f16).logits(x.to(dtype))
    loss = F.cross_entropy(logits, target)
    (loss * scale).backward()
    out = {"loss": loss.detach(), "logits": logits.detach()}
    for name_, p in model.named_parameters():
        gradient = p.grad / scale
        updated = masters[name_] - LR * (gradient + WEIGHT_DECAY * masters[name_])  # the first step: v = g
        out[f"grad.{name_}"] = gradient
        out[f"param.{name_}"] = f16(updated) if recipe == "fp8-rne" and p.dim() > 1 else updated
    if recipe == "fp32":  # running statistics
        out |= {f"buffer.{name_}": b.detach() for name_, b in model.named_buffers() if b.dim() > 0}
    return {key: value.detach().to(torch.float64) for key, value in out.items()}


# Fixtures.

SEED_STEP = 0x9E3779B9


def hashes(name, count):
    """One u32 for each element: the finaliser of MurmurHash3 over FNV-1a of the name plus a Weyl sequence."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    x = (np.arange(count, dtype=np.uint64) * SEED_STEP + h).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    return x


def uniform(name, shape, limit, offset=0.0):
    """offset + limit * u, u uniform on [-1, 1) in steps of 2^-23; computed in FP64, rounded once to FP32."""
    u = (hashes(name, math.prod(shape)) >> np.uint32(8)).astype(np.float64) / 2.0**23 - 1.0
    return torch.from_numpy((offset + limit * u).astype(np.float32).reshape(shape))


def formula_state(name, stem, classes):
    """First weights of the usual sizes, but 0.25 for the last gamma of each block: a freshly initialised ResNet-50 amplifies
    the last bit of FP32 to 3e-2 of its gradients (PyTorch against itself in FP64); this one to 1e-5. And betas of about twice
    their gammas, up or down: a ReLU's input within FP32's rounding of zero, which goes either way, becomes seven times rarer."""
    model = getattr(torchvision.models, name)(weights=None, num_classes=classes)
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    state = {}
    for key, p in model.named_parameters():
        shape = tuple(p.shape)
        if len(shape) == 4:
            state[key] = uniform(key, shape, math.sqrt(6.0 / (shape[0] * shape[2] * shape[3])))
        elif key.startswith("fc."):
            state[key] = uniform(key, shape, 1.0 / math.sqrt(model.fc.in_features))
        else:
            last = f".{'bn3' if name == 'resnet50' else 'bn2'}." in key
            gamma = 0.25 if last else 1.0
            state[key] = uniform(key, shape, 0.1, gamma)
            if key.endswith("bias"):
                u = uniform(key, shape, 1.0)
                state[key] = gamma * (2.0 * torch.sign(u) + 0.25 * u)
    return state


def sketch(name, array):
    """The L2 norm and 8 projections on signs: bit j of the hash of each element."""
    x = array.double().numpy().ravel()
    signs = hashes("signs of " + name, x.size)
    projections = [float(np.where((signs >> np.uint32(j)) & 1, -x, x).sum()) for j in range(8)]
    return [float(np.linalg.norm(x)), *projections]


def relative(a, b):
    return float((a - b).norm() / b.norm().clamp_min(1e-300))


def fixture(name, stem, recipe, batch, size, seed, classes=10):
    state = formula_state(name, stem, classes)
    x = uniform(f"input {seed}", (batch, 3, size, size), 1.7)
    target = torch.arange(batch) * 7 % classes
    result = step(name, stem, recipe, state, x, target)
    # The same step summed in FP64: how far apart two correct implementations are.
    other = step(name, stem, recipe, state, x, target, torch.float64)
    tensors = {}
    for key, value in result.items():
        if key.startswith(("grad.", "param.", "buffer.")):
            # Of a parameter, what the step changed.
            change = value - state[key[6:]].double() if key.startswith("param.") else value
            other_change = other[key] - state[key[6:]].double() if key.startswith("param.") else other[key]
            tensors[key] = {"sketch": sketch(key, change), "spread": relative(other_change, change)}
    return {
        "model": name, "stem": stem, "recipe": recipe, "batch": batch, "size": size, "classes": classes,
        "input": f"input {seed}",
        "torch": torch.__version__, "loss_scale": 1.0 if recipe == "fp32" else LOSS_SCALE, "lr": LR, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY,
        "loss": float(result["loss"]), "logits": result["logits"].ravel().tolist(),
        "logits_spread": relative(other["logits"], result["logits"]), "tensors": tensors,
    }


# Batches on which PyTorch agrees with itself in FP64. In fp8-rne that is a matter of luck: a sum that lies within FP32's
# rounding of a tie between two E5M2 values goes either way, and each such element makes others go another way after it.
FIXTURES = (
    # model, stem, recipe, batch, size, seed of the batch
    ("resnet18", "imagenet", "fp32", 4, 64, 1),
    ("resnet50", "imagenet", "fp32", 4, 64, 2),
    ("resnet18", "imagenet", "fp8-rne", 4, 64, 1),
    ("resnet50", "imagenet", "fp8-rne", 2, 64, 0),
)


def write_spread(seeds):
    """The step of fp8-rne against itself summed in FP64, as a table: how much ties alone explain."""
    print("| model | batch | logits | gradients, largest | codes of weight gradients that differ |\n|---|---|---:|---:|---:|")
    for name, batch in (("resnet18", 4), ("resnet50", 2)):
        for seed in range(seeds):
            state, x = formula_state(name, "imagenet", 10), uniform(f"input {seed}", (batch, 3, 64, 64), 1.7)
            target = torch.arange(batch) * 7 % 10
            a, b = (step(name, "imagenet", "fp8-rne", state, x, target, dtype) for dtype in (torch.float32, torch.float64))
            gradients = [key for key in a if key.startswith("grad.")]
            largest = max(relative(a[key], b[key]) for key in gradients)
            weights = [key for key in gradients if a[key].dim() == 4]
            differ = sum(int((a[key] != b[key]).sum()) for key in weights) / sum(a[key].numel() for key in weights)
            print(f"| {name} | {batch} x 64 x 64, seed {seed} | {relative(a['logits'], b['logits']):.1e} | {largest:.1e} | {differ:.1e} |",
                  flush=True)


def write_fixtures(folder):
    for name, stem, recipe, batch, size, seed in FIXTURES:
        data = fixture(name, stem, recipe, batch, size, seed)
        path = folder / f"{name}-{recipe}.json"
        tensors = data.pop("tensors")
        lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in data.items()]
        rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(round_floats(v))}" for k, v in tensors.items())
        path.write_text("{\n" + ",\n".join(lines) + ',\n"tensors": {\n' + rows + "\n}}\n")
        spreads = {kind: max(v["spread"] for k, v in tensors.items() if k.startswith(kind)) for kind in ("grad", "param")}
        print(path, "loss", data["loss"], "logits_spread", data["logits_spread"], spreads)


def round_floats(tensor):
    return {"sketch": [float(f"{x:.9g}") for x in tensor["sketch"]], "spread": float(f"{tensor['spread']:.2g}")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixtures", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--spread", type=int, metavar="SEEDS")
    parser.add_argument("--model", default="resnet18", choices=["resnet18", "resnet34", "resnet50"])
    parser.add_argument("--stem", default="imagenet", choices=["imagenet", "cifar"])
    parser.add_argument("--recipe", default="fp32", choices=["fp32", "fp8-rne"])
    parser.add_argument("--loss-scale", type=float, default=LOSS_SCALE)
    parser.add_argument("--weights")
    parser.add_argument("--batch")
    parser.add_argument("--output")
    a = parser.parse_args()
    torch.manual_seed(0)
    if a.fixtures:
        return write_fixtures(a.fixtures)
    if a.spread:
        return write_spread(a.spread)
    if not (a.weights and a.batch and a.output):
        parser.error("--weights, --batch and --output are needed, or --fixtures")
    batch = load_file(a.batch)
    result = step(a.model, a.stem, a.recipe, load_file(a.weights), batch["input"], batch["target"], loss_scale=a.loss_scale)
    save_file({key: value.to(torch.float32).contiguous() for key, value in result.items()}, a.output)


if __name__ == "__main__":
    main()
