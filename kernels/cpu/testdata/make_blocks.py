#!/usr/bin/env python3
"""Writes blocks.bin: for each block format, in the order of `BlockFormat::ALL`, two blocks of random
bytes and then the float32 values that the Python package `gguf` (0.19) makes of them.

    pip install gguf numpy && python make_blocks.py
"""
import numpy as np
import gguf

NAMES = """Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS IQ3_XXS IQ3_S
IQ2_XXS IQ2_XS IQ2_S IQ1_S IQ1_M TQ1_0 TQ2_0 MXFP4 NVFP4""".split()
N_BLOCKS = 2

rng = np.random.default_rng(20250)
with open("blocks.bin", "wb") as file:
    for name in NAMES:
        kind = gguf.GGMLQuantizationType[name]
        n_values, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        while True:  # Random bytes may hold a scale that is no number.
            raw = rng.integers(0, 256, (N_BLOCKS, n_bytes), np.uint8)
            values = gguf.quants.dequantize(raw, kind)
            if np.isfinite(values).all():
                break
        assert values.dtype == np.float32 and values.size == N_BLOCKS * n_values
        file.write(raw.tobytes())
        file.write(values.astype("<f4").tobytes())
