"""ACGAN: the discriminator also classifies, and both players minimise its classification loss (Odena et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_lightning.game import DiscriminatorOutput, Objective, Round, discriminate
from gan_lightning.models.layers import flat
from gan_lightning.variants.cgan import require_classes
from gan_lightning.wrappers.base import Wrapper, width_of_features


@dataclass
class ClassOutput(DiscriminatorOutput):
    """The output of a discriminator that also classifies.

    Attributes:
        class_logits: of each class, (batch, num_classes) of float32, before any softmax.
    """

    class_logits: Tensor = field(kw_only=True)


class FlattenFeatures(Wrapper):
    """A discriminator whose features are flattened to one vector a sample, which keeps the places of feature maps."""

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return the output of the wrapped network with features (batch, values)."""
        output = discriminate(self.network, samples, labels)
        if output.features is None:
            return output
        return replace(output, features=flat(output.features))


class ClassHead(Wrapper):
    """A discriminator with an auxiliary classifier: a second linear layer on its features.

    Args:
        network: the wrapped discriminator, which returns features.
        shape: of one sample.
        num_classes: how many classes there are; None, where the data have none, raises a ValueError.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int], num_classes: int | None) -> None:
        super().__init__(FlattenFeatures(network))
        self.classify = nn.Linear(width_of_features(self.network, shape), require_classes(num_classes))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> ClassOutput:
        """Return the network's output for samples (batch, ...), with the logits of their classes."""
        output = discriminate(self.network, samples, labels)
        return ClassOutput(output.logits, output.features, class_logits=self.classify(output.features).float())


class AuxiliaryClassifier(Objective):
    """Cross-entropy of the discriminator's class prediction, for both players (Odena et al. 2017, section 3).

    Beside an adversarial loss. The target is the class of a real sample or, for a fake, its conditioning label.

    Args:
        weight: strength for both players, at least 0; 1 in the paper.
        fake_weight: of the fakes in the discriminator's term, at least 0; 1 in the paper. With 0 it learns classes from
            data alone, and not from fakes that do not show their label yet.
    """

    def __init__(self, weight: float = 1.0, fake_weight: float = 1.0) -> None:
        super().__init__()
        if not (weight >= 0 and fake_weight >= 0):
            raise ValueError(
                f"loss.objectives.acgan.weight and fake_weight must be at least 0, not {weight} and {fake_weight}"
            )
        self.weight, self.fake_weight = weight, fake_weight

    def discriminator(self, round: Round) -> Tensor:
        """Return weight * (E -log C(y|x) + fake_weight E -log C(c|G(z, c))), a scalar >= 0."""
        real = class_loss(round.real_output, round.labels)
        return self.weight * (real + self.fake_weight * class_loss(round.fake_output, round.latent.labels))

    def generator(self, round: Round) -> Tensor:
        """Return weight * E -log C(c|G(z, c)), a scalar >= 0."""
        return self.weight * class_loss(round.fake_output, round.latent.labels)


def class_loss(output: DiscriminatorOutput, labels: Tensor | None) -> Tensor:
    """Return the mean cross-entropy of the class logits of `output`, in nats; a ValueError without logits or labels."""
    if not isinstance(output, ClassOutput):
        raise ValueError("acgan needs a discriminator that classifies: choose variant=acgan")
    if labels is None:
        raise ValueError(
            "acgan needs the class of each sample: choose data with classes, such as data=mnist10k, and a prior that "
            "draws classes, which variant=acgan brings along"
        )
    return cross_entropy(output.class_logits, labels)
