"""From one sample to the next through the generator's latents."""

from __future__ import annotations

import torch

from gan_lightning.game import Latent
from gan_lightning.priors import Prior


def closed_path(prior: Prior, keys: Latent, steps: int) -> Latent:
    """Return latents on the way from each key to the next, and from the last back to the first.

    They come key by key: row i begins with key i itself, makes `steps` steps and ends at the noise of key i + 1. Its
    class is that of key i throughout, for there is nothing between two classes; where all keys are of one class, the
    end of a row is the key that the next begins with.

    Args:
        prior: where the keys come from.
        keys: two or more.
        steps: from one key to the next.

    Returns:
        (keys * (steps + 1)) latents.
    """
    count, first = len(keys), torch.arange(len(keys), device=keys.z.device).repeat_interleave(steps + 1)
    share = (torch.arange(steps + 1, device=keys.z.device) / steps).repeat(count)[:, None]
    return prior.interpolate(keys[first], keys[(first + 1) % count], share)
