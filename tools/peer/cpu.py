#!/usr/bin/env python3
"""PyTorch's side of `cargo xtask bench --peer` on a CPU.

Says {"name": ...} and then answers requests, one JSON object a line each way, so that the caller can take turns with it:

    {"run": {"work": NAME, ...}, "repeats": R}    the work R times: {"seconds": mean of one}
    {"forget": true}                              drops all operands: {}

A request that fails is answered with {"error": MESSAGE}. Work, with its arguments:

    copy    size                      y <- x, FP32
    cast    size, format              y <- x in float8_FORMAT
    gemm    size, type                SIZE x SIZE by SIZE x SIZE (type: float32, bfloat16)
    resnet  model, stem, batch, autocast
                                      a training step, channels-last: forward, cross-entropy, backward, SGD with momentum and decay;
                                      stem: cifar (32 x 32, 10 classes) or imagenet (224 x 224, 1,000); autocast: to bfloat16

Work seen for the first time is prepared and warmed up before it is timed. Needs torch; resnet needs torchvision.
"""
import argparse
import json
import sys
import time


def copy(torch, size):
    x = torch.randn(size)
    y = torch.empty_like(x)
    return lambda: y.copy_(x)


def cast(torch, size, format):
    x = torch.randn(size)
    y = torch.empty(size, dtype=getattr(torch, f"float8_{format}"))
    return lambda: y.copy_(x)


def gemm(torch, size, type):
    a, b = (torch.randn(size, size).to(getattr(torch, type)) for _ in range(2))
    c = torch.empty(size, size, dtype=a.dtype)
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
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step():
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = torch.nn.functional.cross_entropy(network(x), target)
        loss.backward()
        optimiser.step()

    return step


WORK = {work.__name__: work for work in (copy, cast, gemm, resnet)}


def answer(torch, request, prepared):
    if "forget" in request:
        prepared.clear()
        return {}
    arguments = dict(request["run"])
    key = json.dumps(arguments, sort_keys=True)
    if key not in prepared:
        prepared[key] = WORK[arguments.pop("work")](torch, **arguments)
        prepared[key]()
    run, repeats = prepared[key], request["repeats"]
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return {"seconds": (time.perf_counter() - start) / repeats}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    try:
        import torch
        import torchvision
    except ImportError as error:
        sys.exit(f"{sys.executable}: {error}")
    torch.set_num_threads(threads)
    versions = f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}"
    print(json.dumps({"name": f"{versions}, {threads} threads"}), flush=True)
    prepared = {}
    for line in sys.stdin:
        try:
            reply = answer(torch, json.loads(line), prepared)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
