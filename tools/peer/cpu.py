#!/usr/bin/env python3
"""PyTorch's side of `cargo xtask bench --peer` on a CPU.

Reads one request a line, does it once and answers with the seconds it took, so that the caller can take turns with it:

    copy N            y <- x, N FP32 values
    cast FORMAT N     y <- x in float8_FORMAT, N values
    gemm TYPE N       N x N by N x N (TYPE: float32, bfloat16)
    conv B H I O K S  forward, data gradient and weight gradient of a K x K convolution, stride S, channels-last
    resnet18 B        a training step of ResNet-18 (CIFAR stem, channels-last, SGD with momentum), batch B

A request seen for the first time is prepared and warmed up before it is timed. Needs torch; resnet18 needs torchvision.
"""
import argparse
import sys
import time


def copy(torch, n):
    x = torch.randn(int(n))
    y = torch.empty_like(x)
    return lambda: y.copy_(x)


def cast(torch, form, n):
    x = torch.randn(int(n))
    y = torch.empty(int(n), dtype=getattr(torch, f"float8_{form}"))
    return lambda: y.copy_(x)


def gemm(torch, dtype, n):
    a, b = (torch.randn(int(n), int(n)).to(getattr(torch, dtype)) for _ in range(2))
    c = torch.empty(int(n), int(n), dtype=a.dtype)
    return lambda: torch.mm(a, b, out=c)


def conv(torch, *shape):
    batch, size, inputs, outputs, kernel, stride = map(int, shape)
    x = torch.randn(batch, inputs, size, size).to(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(outputs, inputs, kernel, kernel).to(memory_format=torch.channels_last).requires_grad_()
    y = torch.nn.functional.conv2d(x, w, stride=stride, padding=kernel // 2)
    dy = torch.randn_like(y)

    def passes():
        y = torch.nn.functional.conv2d(x, w, stride=stride, padding=kernel // 2)
        torch.autograd.grad(y, (x, w), dy)

    return passes


def resnet18(torch, batch):
    import torchvision
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = torch.nn.Identity()
    model = model.to(memory_format=torch.channels_last)
    x = torch.randn(int(batch), 3, 32, 32).to(memory_format=torch.channels_last)
    target = torch.randint(0, 10, (int(batch),))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step():
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), target).backward()
        optimiser.step()

    return step


WORK = {f.__name__: f for f in (copy, cast, gemm, conv, resnet18)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    try:
        import torch
    except ImportError as error:
        sys.exit(f"this Python has no PyTorch ({error}): pip install torch torchvision numpy")
    torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, {threads} threads", flush=True)
    prepared = (None, None)
    for line in sys.stdin:
        request = line.split()
        if prepared[0] != request:
            prepared = (request, WORK[request[0]](torch, *request[1:]))
            prepared[1]()
        start = time.perf_counter()
        prepared[1]()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
