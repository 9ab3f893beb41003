#!/usr/bin/env python3
"""What PyTorch makes of small inputs: fixtures of crates/fp8-kernels/tests/pytorch.rs.

    pip install torch
    python tools/reference/ops.py > crates/fp8-kernels/tests/fixtures/ops.txt

Each line is a name and the numbers of one tensor, in FP32 to the last bit, images in NHWC.
"""

import math

import torch
import torch.nn.functional as F

NAN, INF = math.nan, math.inf


def show(name, tensor):
    values = torch.as_tensor(tensor).detach().flatten().tolist()
    print(name, *(f"{value:.9g}" for value in values))


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def cross_entropy():
    logits = torch.randn(3, 5) * 3
    targets = torch.tensor([4, 0, 2])
    show("cross_entropy.logits", logits)
    show("cross_entropy.targets", targets)
    for smoothing in (0.0, 0.1):
        x = logits.clone().requires_grad_()
        losses = F.cross_entropy(x, targets, reduction="none", label_smoothing=smoothing)
        (losses.sum() * 8).backward()
        show(f"cross_entropy.losses.{smoothing}", losses)
        show(f"cross_entropy.errors.{smoothing}", x.grad)


def max_pool():
    # Quarters, so that maxima are met twice, and one NaN.
    x = (torch.randn(2, 3, 7, 6) * 4).round() / 4
    x[0, 1, 3, 3] = NAN
    x.requires_grad_()
    y, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    dy = (torch.randn(y.shape) * 8).round() / 8
    (dx,) = torch.autograd.grad(y, x, dy)
    for name, tensor in (("x", x), ("y", y), ("places", places), ("dy", dy), ("dx", dx)):
        show(f"max_pool.{name}", nhwc(tensor))


def relu():
    x = torch.tensor([NAN, -INF, INF, -1.5, 0.0, 2.0])
    show("relu.x", x)
    show("relu.y", torch.relu(x))


def average_pool():
    x = torch.randn(2, 5, 3, 4)
    show("average_pool.x", nhwc(x))
    show("average_pool.y", x.mean((2, 3)))


def f32(x):
    """The number that Rust's f32 has: otherwise PyTorch computes with the f64."""
    return torch.tensor(x, dtype=torch.float32).item()


def optimizers():
    start, gradients = torch.randn(6), torch.randn(10, 6)
    show("update.start", start)
    show("update.gradients", gradients)
    sgd, adam_w = torch.optim.SGD, torch.optim.AdamW
    for name, rule, options in (
        ("sgd", sgd, {"lr": 0.1}),
        ("decay", sgd, {"lr": 0.1, "weight_decay": 0.01}),
        ("momentum", sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        ("dampening", sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
        ("dampening_alone", sgd, {"lr": 0.1, "dampening": 0.3}),
        ("nesterov", sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        ("adam_w", adam_w, {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}),
        ("adam_w_fast", adam_w, {"lr": 0.3, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.0}),
    ):
        options = {key: tuple(map(f32, x)) if isinstance(x, tuple) else f32(x) if isinstance(x, float) else x
                   for key, x in options.items()}
        w = torch.nn.Parameter(start.clone())
        optimizer = rule([w], **options)
        for gradient in gradients:
            w.grad = gradient.clone()
            optimizer.step()
        show(f"update.{name}", w)
        for moment in ("momentum_buffer", "exp_avg", "exp_avg_sq"):
            value = optimizer.state[w].get(moment)
            if value is not None:
                show(f"update.{name}.{moment}", value)


def main():
    torch.manual_seed(0)
    print(f"# PyTorch {torch.__version__.split('+')[0]}, by tools/reference/ops.py")
    for write in (cross_entropy, max_pool, relu, average_pool, optimizers):
        write()


if __name__ == "__main__":
    main()
