#!/usr/bin/env python3
"""One step of a small GNMT in PyTorch, for crates/fp8-models/tests/gnmt.rs.

    pip install torch torchvision numpy safetensors
    gnmt.py crates/fp8-models/tests/fixtures/gnmt-fp32.json

Weights come from a hash that the test has too; loss and logits are kept, of each gradient its L2 norm and 8 projections (step.py).
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from step import round_floats, relative, sketch, uniform
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

VOCABULARY, HIDDEN, LAYERS, STEPS_IN, STEPS_OUT, LENGTHS, SMOOTHING = 40, 24, 3, 11, 9, (11, 6, 8), 0.1
TARGET_LENGTHS = (7, 9, 4)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear_q = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.linear_k = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.linear_att = nn.Parameter(torch.empty(HIDDEN))
        self.normalize_scalar = nn.Parameter(torch.empty(1))
        self.normalize_bias = nn.Parameter(torch.empty(HIDDEN))

    def forward(self, queries, values, lengths):
        q, k = self.linear_q(queries)[:, None], self.linear_k(values)[None]
        v = self.linear_att / self.linear_att.norm() * self.normalize_scalar
        scores = torch.tanh(q + k + self.normalize_bias) @ v  # queries, keys, batch
        missing = torch.arange(values.shape[0])[:, None] >= lengths[None]
        shares = scores.masked_fill(missing[None], -torch.inf).softmax(1)
        return torch.einsum("qkb,kbd->qbd", shares, values)


class AttentionRnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.attn = nn.LSTM(HIDDEN, HIDDEN), Attention()


class Gnmt(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedder = nn.Embedding(VOCABULARY, HIDDEN, padding_idx=0)
        self.encoder, self.decoder = nn.Module(), nn.Module()
        later = [nn.LSTM(2 * HIDDEN if layer == 1 else HIDDEN, HIDDEN) for layer in range(1, LAYERS)]
        self.encoder.rnn_layers = nn.ModuleList([nn.LSTM(HIDDEN, HIDDEN, bidirectional=True), *later])
        self.decoder.att_rnn = AttentionRnn()
        self.decoder.rnn_layers = nn.ModuleList(nn.LSTM(2 * HIDDEN, HIDDEN) for _ in range(1, LAYERS))
        self.decoder.classifier = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, source, lengths, target):
        x = self.embedder(source)
        for layer, rnn in enumerate(self.encoder.rnn_layers):
            packed, _ = rnn(pack_padded_sequence(x, lengths, enforce_sorted=False))
            y, _ = pad_packed_sequence(packed, total_length=STEPS_IN)
            x = x + y if layer > 1 else y
        state, _ = self.decoder.att_rnn.rnn(self.embedder(target))
        context = self.decoder.att_rnn.attn(state, x, lengths)
        y = state
        for layer, rnn in enumerate(self.decoder.rnn_layers, 1):
            h, _ = rnn(torch.cat((y, context), 2))
            y = y + h if layer > 1 else h
        return self.decoder.classifier(y)


def weights(model):
    for name, p in model.named_parameters():
        offset = 5.0 if name.endswith("normalize_scalar") else 0.0
        p.data = uniform(name, tuple(p.shape), 0.3, offset)


def tokens(name, steps, lengths):
    """1 to VOCABULARY - 1 by the hash; 0 past the end."""
    u = uniform(name, (steps, len(lengths)), 1.0)
    x = 1 + ((u + 1.0) / 2.0 * (VOCABULARY - 1)).long().clamp(0, VOCABULARY - 2)
    return x * (torch.arange(steps)[:, None] < torch.tensor(lengths)[None])


def run(dtype):
    model = Gnmt()
    weights(model)
    model.to(dtype)
    source, target = tokens("source", STEPS_IN, LENGTHS), tokens("target", STEPS_OUT + 1, [n + 1 for n in TARGET_LENGTHS])
    logits = model(source, torch.tensor(LENGTHS), target[:-1])
    loss = F.cross_entropy(logits.flatten(0, 1), target[1:].flatten(), ignore_index=0, label_smoothing=SMOOTHING)
    loss.backward()
    return loss.item(), logits.detach(), {f"grad.{name}": p.grad for name, p in model.named_parameters()}


def main():
    # In FP64: the gradient of normalize_bias is a difference of large sums, which FP32 gets to 1e-4 only ("spread").
    loss, logits, gradients = run(torch.float64)
    narrow = run(torch.float32)[2]
    tensors = {k: round_floats({"sketch": sketch(k, v), "spread": relative(narrow[k].double(), v)}) for k, v in gradients.items()}
    print("loss", loss, "largest spread", max(tensor["spread"] for tensor in tensors.values()))
    rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in tensors.items())
    head = {"torch": torch.__version__, "loss": loss, "logits": {"sketch": [float(f"{x:.9g}") for x in sketch("logits", logits)]}}
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in head.items())
    pathlib.Path(sys.argv[1]).write_text("{\n" + lines + ',\n"tensors": {\n' + rows + "\n}}\n")


if __name__ == "__main__":
    main()
