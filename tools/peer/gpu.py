#!/usr/bin/env python3
"""PyTorch's side of `cargo xtask bench --device cuda --peer`; protocol.py says how they talk. Operands lie on the card. Work, with its arguments:

    copy    size                      y <- x, FP32
    cast    size, format              x in float8_FORMAT, a new tensor
    gemm    m, n, k, type             M x K by (N x K) transposed, in bfloat16
            m, n, k, fast             the same by cuBLASLt, E4M3 by E5M2 to bfloat16; fast: sums stay in the tensor cores, else they are promoted
    resnet  model, stem, batch, MODE  a training step, channels-last: forward, cross-entropy, backward, SGD with momentum and decay;
                                      stem: cifar (32 x 32, 10 classes) or imagenet (224 x 224, 1,000)
    transformer, lstm  MODE           a training step, as above, of 32,000 words, all tables one matrix in the Transformer: 128 sentences of 64 tokens, 6 + 6
                                      layers 512 wide, 8 heads, 2,048 between linear layers, dropout 0.1; 128 sentences of 50 tokens, 4 + 4 LSTM layers
                                      1,024 wide, of which all but the first decode what attention finds, too

MODE is autocast (to bfloat16, else FP32 by TF32), and compile: absent, or a mode of torch.compile for the network; quantise: E5M2 fake quantisation of what goes
into linear layers and convolutions (but the last), of what comes out, and of the errors of both. Needs torch; resnet needs torchvision.
"""
import argparse
import gc
import sys

from protocol import serve

WARM_UPS = 3
WORDS = 32000


def copy(torch, size):
    x = torch.randn(size, device="cuda")
    y = torch.empty_like(x)
    return lambda: y.copy_(x)


def cast(torch, size, format):
    x, dtype = torch.randn(size, device="cuda"), getattr(torch, f"float8_{format}")
    return lambda: x.to(dtype)


def gemm(torch, m, n, k, type=None, fast=None):
    a, b = torch.randn(m, k, device="cuda"), torch.randn(n, k, device="cuda")
    if fast is None:
        a, b = (x.to(getattr(torch, type)) for x in (a, b))
        return lambda: a @ b.t()
    a, b, one = a.to(torch.float8_e4m3fn), b.to(torch.float8_e5m2), torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=fast)


def resnet(torch, model, stem, batch, **mode):
    import torchvision

    size, classes = {"cifar": (32, 10), "imagenet": (224, 1000)}[stem]
    network = getattr(torchvision.models, model)(num_classes=classes)
    if stem == "cifar":
        network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = torch.nn.Identity()
    network = network.to(device="cuda", memory_format=torch.channels_last)
    images = torch.randn(batch, 3, size, size, device="cuda").to(memory_format=torch.channels_last)
    return training(torch, network, (images,), torch.randint(0, classes, (batch,), device="cuda"), **mode)


def transformer(torch, **mode):
    nn = torch.nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(WORDS, 512)
            self.layers = nn.Transformer(512, 8, 6, 6, 2048, 0.1, batch_first=True)
            self.classifier = nn.Linear(512, WORDS, bias=False)
            self.classifier.weight = self.embedding.weight

        def forward(self, source, target):
            mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], device=target.device)
            both = self.embedding(source), self.embedding(target)
            return self.classifier(self.layers(*both, tgt_mask=mask, tgt_is_causal=True)).flatten(0, 1)

    return translation(torch, Network(), 64, **mode)


def lstm(torch, **mode):
    nn, width = torch.nn, 1024

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(WORDS, width)
            self.encoder = nn.LSTM(width, width, 4, batch_first=True, dropout=0.2)
            self.first = nn.LSTM(width, width, 1, batch_first=True)
            self.query = nn.Linear(width, width)
            self.decoder = nn.LSTM(2 * width, width, 3, batch_first=True, dropout=0.2)
            self.classifier = nn.Linear(width, WORDS)

        def forward(self, source, target):
            h, y = self.encoder(self.embedding(source))[0], self.first(self.embedding(target))[0]
            shares = torch.softmax(torch.bmm(self.query(y), h.transpose(1, 2)).float(), -1).to(h.dtype)
            y = self.decoder(torch.cat((y, torch.bmm(shares, h)), -1))[0]
            return self.classifier(y).flatten(0, 1)

    return translation(torch, Network(), 50, **mode)


def translation(torch, network, length, **mode):
    source, target, following = (torch.randint(0, WORDS, (128, length), device="cuda") for _ in range(3))
    return training(torch, network.to("cuda"), (source, target), following.flatten(), **mode)


def training(torch, network, inputs, target, autocast, compile=None, quantise=False):
    if quantise:
        fake_quantised(torch, network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)
    forward = torch.compile(network, mode=compile) if compile else network

    def step():
        # For all of the process, and another contender may have had its turn in between.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not autocast
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=autocast):
            loss = torch.nn.functional.cross_entropy(forward(*inputs).float(), target)
        loss.backward()
        optimiser.step()

    return step


def fake_quantised(torch, network):
    nn, functional = torch.nn, torch.nn.functional

    class Quantise(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.to(torch.float8_e5m2).to(x.dtype)

        @staticmethod
        def backward(ctx, dy):
            return dy.to(torch.float8_e5m2).to(dy.dtype)

    def rounded(layer):
        def forward(x):
            x, w = Quantise.apply(x), Quantise.apply(layer.weight)
            if isinstance(layer, nn.Conv2d):
                return Quantise.apply(functional.conv2d(x, w, layer.bias, layer.stride, layer.padding))
            return Quantise.apply(functional.linear(x, w, layer.bias))

        return forward

    for name, layer in network.named_modules():
        # What attention does with its output projection is not by that layer's own forward.
        is_last = name in ("fc", "classifier") or isinstance(layer, nn.modules.linear.NonDynamicallyQuantizableLinear)
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and not is_last:
            layer.forward = rounded(layer)


WORK = {work.__name__: work for work in (copy, cast, gemm, resnet, transformer, lstm)}


class Gpu:
    def __init__(self, torch):
        self.torch, self.memory = torch, torch.cuda.memory_allocated

    def prepare(self, work, arguments):
        others = self.memory()
        run = WORK[work](self.torch, **arguments)
        for _ in range(WARM_UPS):
            run()
        self.torch.cuda.synchronize()
        return run, self.memory() - others

    def time(self, prepared, repeats):
        """By events on the card around all repeats. The peak is that of this work's tensors, parameters included, whatever else is prepared."""
        (run, own), cuda = prepared, self.torch.cuda
        cuda.reset_peak_memory_stats()
        others = self.memory() - own
        start, end = (cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            run()
        end.record()
        end.synchronize()
        return {"seconds": start.elapsed_time(end) / 1e3 / repeats, "peak_bytes": cuda.max_memory_allocated() - others}

    def forget(self):
        self.torch._dynamo.reset()
        gc.collect()
        self.torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--card", type=int, default=0)
    arguments = parser.parse_args()
    try:
        import torch
        import torch._dynamo
    except ImportError as error:
        sys.exit(f"{sys.executable}: {error}")
    if not torch.cuda.is_available():
        sys.exit(f"{sys.executable}: PyTorch {torch.__version__} sees no card")
    torch.set_num_threads(arguments.threads)
    torch.cuda.set_device(arguments.card)
    torch.backends.cudnn.benchmark = True
    serve(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}", Gpu(torch))


if __name__ == "__main__":
    main()
