"""What this machine's processors compute natively."""

from __future__ import annotations

import torch


def has_native_bfloat16(gpu: bool) -> bool:
    """Return whether matrix products in bfloat16 run on hardware of their own, and are not emulated."""
    if gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    processor = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))
