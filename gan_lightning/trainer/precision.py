"""Half precision with a gradient scale for each player, and what float32 means on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from gan_lightning.gan import GAN


class HalfPrecision(MixedPrecision):
    """Autocast that casts a weight once for all passes of an update, where Lightning's casts it at every pass.

    `GAN.update` clears the casts before it (``torch.clear_autocast_cache``): weights have changed, or were
    cast where no gradient was wanted.

    Args:
        precision: bf16-mixed or 16-mixed.
        device: kind of device, such as cuda.
        scaler: of the gradients, for 16-mixed.
    """

    def autocast_context_manager(self) -> torch.autocast:
        dtype = torch.bfloat16 if self.precision == "bf16-mixed" else torch.half
        return torch.autocast(self.device, dtype=dtype, cache_enabled=True)


class ScalePerPlayer(HalfPrecision):
    """float16 with a gradient scaler for each player (Micikevicius et al. 2018, section 3.2).

    The players' gradients differ by orders of magnitude. Under one scale for both, an overflow of one player would
    halve the other's scale, and both players' good steps would count towards raising it. A player's scaler skips its
    step where gradients overflow, and only its.

    Args:
        device: kind of device, such as cuda.
        initial_scale: with which each player begins.
    """

    def __init__(self, device: str, initial_scale: float = 2.0**16) -> None:
        self.scalers = {
            player: torch.amp.GradScaler(device, init_scale=initial_scale) for player in ("generator", "discriminator")
        }
        super().__init__("16-mixed", device, self.scalers["discriminator"])

    def pre_backward(self, tensor: Tensor, module: nn.Module | None) -> Tensor:  # as loose as every class above
        if not isinstance(module, GAN):
            raise TypeError("a gradient scale for each player needs a GAN")
        # The step that follows is the same player's, and uses this scaler too.
        self.scaler = self.scalers[module.state.player]
        return super().pre_backward(tensor, module)

    def state_dict(self) -> dict[str, Any]:
        return {player: scaler.state_dict() for player, scaler in self.scalers.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for player, scaler in self.scalers.items():
            scaler.load_state_dict(state_dict[player])


def set_tf32(allowed: bool) -> None:
    """Let float32 convolutions and matrix products be TF32 on NVIDIA GPUs or not: faster, with 10 bits of mantissa."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
