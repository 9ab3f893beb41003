"""Digests of ml_dtypes' casts of all 2^32 f32 values, for the tests of fp8-kernels.

    pip install ml_dtypes numpy
    python tools/reference/casts.py > crates/fp8-kernels/tests/fixtures/casts.txt

Each line: format, chunk, and the first 16 hex digits of the SHA-256 of the codes as ml_dtypes gives them, NaNs included.
Chunk `xx` holds the 2^24 values whose topmost byte is xx, in ascending order of bits; chunk `subset` holds every upper half
in turn with the lower halves below: all rounding boundaries of 8-bit formats and the values next to them. Takes minutes.
"""

import hashlib

import ml_dtypes
import numpy as np

FORMATS = {
    "e5m2": ml_dtypes.float8_e5m2,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "e3m4": ml_dtypes.float8_e3m4,
}
LOWER_HALVES = [0x0000, 0x0001, 0x5555, 0x7FFF, 0x8000, 0x8001, 0xAAAA, 0xFFFF]


def digest(bits, dtype):
    with np.errstate(all="ignore"):
        codes = bits.view(np.float32).astype(dtype).view(np.uint8)
    return hashlib.sha256(codes).hexdigest()[:16]


def main():
    print(f"# ml_dtypes {ml_dtypes.__version__}, by tools/reference/casts.py: format, chunk, SHA-256 (first 64 bits)")
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    subset = (upper[:, None] | np.array(LOWER_HALVES, dtype=np.uint32)).ravel()
    low = np.arange(1 << 24, dtype=np.uint32)
    for name, dtype in FORMATS.items():
        print(name, "subset", digest(subset, dtype), flush=True)
        for chunk in range(256):
            print(name, f"{chunk:02x}", digest(low | np.uint32(chunk << 24), dtype), flush=True)


if __name__ == "__main__":
    main()
