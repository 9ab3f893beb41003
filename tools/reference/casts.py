"""Digests of ml_dtypes' casts of all 2^32 f32 values, for the tests of fp8-kernels.

    pip install ml_dtypes numpy
    python tools/reference/casts.py > crates/fp8-kernels/tests/fixtures/casts.txt

Digests are the first 16 hex digits of the SHA-256 of the codes as ml_dtypes gives them, NaNs included. For each format a
line `subset` digests every upper half in turn with the lower halves below: all rounding boundaries of 8-bit formats and the
values next to them. Then line `x` (0 to f) digests, chunk by chunk, the values whose topmost byte is x0, x1, ... xf: 2^24
in each, in ascending order of bits. Takes minutes.
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
    print(f"# ml_dtypes {ml_dtypes.__version__}, by tools/reference/casts.py, which says what the digests are of")
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    subset = (upper[:, None] | np.array(LOWER_HALVES, dtype=np.uint32)).ravel()
    low = np.arange(1 << 24, dtype=np.uint32)
    for name, dtype in FORMATS.items():
        print(name, "subset", digest(subset, dtype), flush=True)
        for row in range(16):
            chunks = (np.uint32(chunk << 24) for chunk in range(16 * row, 16 * row + 16))
            print(name, f"{row:x}", *(digest(low | top, dtype) for top in chunks), flush=True)


if __name__ == "__main__":
    main()
