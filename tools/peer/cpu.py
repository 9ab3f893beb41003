#!/usr/bin/env python3
"""PyTorch's side of `cargo xtask bench --peer` on a CPU; protocol.py says how they talk. Work, with its arguments:

    copy    size                      y <- x, FP32
    cast    size, format              y <- x in float8_FORMAT
    gemm    m, n, k, type             M x K by K x N (type: float32, bfloat16)
    resnet  model, stem, batch, autocast
                                      a training step, channels-last: forward, cross-entropy, backward, SGD with momentum and decay;
                                      stem: cifar (32 x 32, 10 classes) or imagenet (224 x 224, 1,000); autocast: to bfloat16
    transformer, lstm  autocast       a training step on 32 sentences of 32 tokens, 8,000 words, 256 wide, as above: a Transformer of 3 + 3
                                      layers, 4 heads, 1,024 between its linear layers, dropout 0.1; an LSTM of 2 + 2 layers with attention

Needs torch; resnet needs torchvision.
"""
import argparse
import itertools
import os
import sys
import time

from protocol import serve


def copy(torch, size):
    x = torch.randn(size)
    y = torch.empty_like(x)
    return lambda: y.copy_(x)


def cast(torch, size, format):
    x = torch.randn(size)
    y = torch.empty(size, dtype=getattr(torch, f"float8_{format}"))
    return lambda: y.copy_(x)


def gemm(torch, m, n, k, type):
    a, b = (torch.randn(*shape).to(getattr(torch, type)) for shape in ((m, k), (k, n)))
    c = torch.empty(m, n, dtype=a.dtype)
    return lambda: torch.mm(a, b, out=c)


def resnet(torch, model, stem, batch, autocast):
    import torchvision

    size, classes = {"cifar": (32, 10), "imagenet": (224, 1000)}[stem]
    network = getattr(torchvision.models, model)(num_classes=classes)
    if stem == "cifar":
        network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = torch.nn.Identity()
    network = network.to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    target = torch.randint(0, classes, (batch,))
    return training(torch, network, (x,), target, autocast)


def transformer(torch, autocast):
    nn = torch.nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8000, 256)
            self.layers = nn.Transformer(256, 4, 3, 3, 1024, 0.1, batch_first=True)
            self.classifier = nn.Linear(256, 8000)

        def forward(self, source, target):
            mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
            both = self.embedding(source), self.embedding(target)
            return self.classifier(self.layers(*both, tgt_mask=mask, tgt_is_causal=True)).flatten(0, 1)

    return translation(torch, Network(), autocast)


def lstm(torch, autocast):
    nn = torch.nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8000, 256)
            self.encoder, self.decoder = (nn.LSTM(256, 256, 2, batch_first=True) for _ in range(2))
            self.classifier = nn.Linear(256, 8000)

        def forward(self, source, target):
            h, y = self.encoder(self.embedding(source))[0], self.decoder(self.embedding(target))[0]
            shares = torch.softmax(torch.bmm(y, h.transpose(1, 2)), -1)
            return self.classifier(y + torch.bmm(shares, h)).flatten(0, 1)

    return translation(torch, Network(), autocast)


def translation(torch, network, autocast):
    source, target, following = (torch.randint(0, 8000, (32, 32)) for _ in range(3))
    return training(torch, network, (source, target), following.flatten(), autocast)


def training(torch, network, inputs, target, autocast):
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step():
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = torch.nn.functional.cross_entropy(network(*inputs), target)
        loss.backward()
        optimiser.step()

    return step


WORK = {work.__name__: work for work in (copy, cast, gemm, resnet, transformer, lstm)}


def most_held(profile):
    """By PyTorch's allocator, as the profiler saw it give and take; None where this version does not tell."""
    try:
        changes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    except AttributeError:
        return None
    return max(itertools.accumulate(changes), default=0)


class Cpu:
    def __init__(self, torch):
        self.torch = torch

    def prepare(self, work, arguments):
        """With the most that the work's tensors hold in its making and its first two steps, parameters included."""
        profiler = self.torch.profiler
        with profiler.profile(activities=[profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            run = WORK[work](self.torch, **arguments)
            run()
            run()
        return run, most_held(profile)

    def time(self, prepared, repeats):
        run, peak_bytes = prepared
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        return {"seconds": (time.perf_counter() - start) / repeats, "peak_bytes": peak_bytes}

    def forget(self):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    # Or the profiler tells of itself.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    try:
        import torch
        import torchvision
    except ImportError as error:
        sys.exit(f"{sys.executable}: {error}")
    torch.set_num_threads(threads)
    serve(f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}, {threads} threads", Cpu(torch))


if __name__ == "__main__":
    main()
