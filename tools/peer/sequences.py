#!/usr/bin/env python3
"""PyTorch's operations on sequences at the shapes of `crates/fp8-cuda/examples/sequences.rs`, bf16, median of CUDA-event times: `python3 tools/peer/sequences.py`."""
import torch
import torch.nn.functional as F

DEV, BF16 = "cuda", torch.bfloat16


def us(f, times=15, warm=5):
    for _ in range(warm):
        f()
    torch.cuda.synchronize()
    spent = []
    for _ in range(times):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record(); f(); b.record(); torch.cuda.synchronize()
        spent.append(1e3 * a.elapsed_time(b))
    return sorted(spent)[len(spent) // 2]


def both(name, forward, inputs, dy):
    def step():
        for x in inputs:
            x.grad = None
        forward().backward(dy)
    one, all = us(forward), us(step)
    print(f"{name}: forward {one:.1f} us, both {all:.1f} us", flush=True)


lstm = torch.nn.LSTM(1024, 1024).to(DEV, BF16)
x = torch.randn(50, 128, 1024, device=DEV, dtype=BF16, requires_grad=True)
both("LSTM 128 x 50 x 1024 (cuDNN)", lambda: lstm(x)[0], [x, *lstm.parameters()], torch.randn(50, 128, 1024, device=DEV, dtype=BF16))

for causal in (False, True):
    q, k, v = (torch.randn(128, 8, 64, 64, device=DEV, dtype=BF16, requires_grad=True) for _ in range(3))
    both(f"attention 128 x 64 x 8 x 64, causal={causal}", lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal), [q, k, v], torch.randn_like(q))

w = (torch.randn(32000, 512, device=DEV) * 0.1).to(BF16).requires_grad_()
x = torch.randn(8192, 512, device=DEV, dtype=BF16, requires_grad=True)
t = torch.randint(0, 32000, (8192,), device=DEV)
logits = (x @ w.t()).float().detach().requires_grad_()
both("logits 8192 x 32000 of 512", lambda: x @ w.t(), [x, w], torch.randn(8192, 32000, device=DEV, dtype=BF16))
both("loss of those in f32", lambda: F.cross_entropy(logits, t, label_smoothing=0.1), [logits], None)


def additive():
    return torch.softmax(torch.tanh(q[:, None] + k[None]) @ v, 1)


q, k = (torch.randn(50, 128, 1024, device=DEV, dtype=BF16, requires_grad=True) for _ in range(2))
v = torch.randn(1024, device=DEV, dtype=BF16, requires_grad=True)
both("additive attention's probabilities 128 x 50 x 50 x 1024", additive, [q, k, v], torch.randn(50, 50, 128, device=DEV, dtype=BF16))
