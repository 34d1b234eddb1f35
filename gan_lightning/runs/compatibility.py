"""Checks of what does not go together: model and data, batch and devices, penalties and losses, paths and the disk.

Every check reads facts that the YAML files carry (`accepts`, `shape`, `energy`, ...) and names no variant.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lightning.runs.memory import samples_and_memory
from gan_lightning.runs.run_dir import checkpoint_of
from gan_lightning.trainer.ranks import device_count, started_from_outside
from gan_lightning.utils.choices import PARENT, defaults_of, lineage, read_conf
from gan_lightning.utils.conf import conf_dir, format_value
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.image_sizes import accepted_sizes, choose_size, describe_sizes, smallest_of


def incompatibilities(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each pair that cannot work."""
    checks = (
        *(objectives, variant_and_loss, model_and_data, model_and_loss, model_and_prior),
        *(batch_and_devices, ranks_and_devices, strategy),
        *(batch_and_pieces, batch_and_packs, samples_and_memory, many_seeds, patience, paths, initial_weights),
    )
    for check in checks:
        yield from check(config)


def many_seeds(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for what cannot be trained as many games at once."""
    if config.get("seeds") is None:
        return
    if len(config.data.shape) != 1:
        yield (
            f"seeds={config.seeds} trains games of vectors, such as data=ring, as one program, and data="
            f"{config.hydra.runtime.choices.data} has shape {list(config.data.shape)}: train the seeds one after "
            "another with -m seed=0,1,..."
        )
    kept: dict[str, Any] = {"share_fakes": False, "micro_batches": 1, "trainer.devices": 1, "trainer.num_nodes": 1}
    kept |= {"trainer.compile": False, "stop.patience": None, "stop.max_hours": None}
    for key, value in kept.items():
        now = OmegaConf.select(config, key)
        if now != value:
            yield f"seeds={config.seeds} is computed without {key}={str(now).lower()}: leave {key} out"
    if OmegaConf.select(config, "callbacks.one_batch") is not None:
        yield f"seeds={config.seeds} trains without callbacks, and debug=overfit is one: leave one of them out"
    if config.trainer.precision not in ("auto", "32-true"):
        yield f"seeds={config.seeds} is trained in float32: choose trainer.precision=32-true"


def patience(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where the patience counts evaluations that are not made."""
    if config.stop.patience is None:
        return
    for key in ("metrics.monitor", "callbacks.evaluation", "callbacks.stopping"):
        if OmegaConf.select(config, key) is None:
            yield f"stop.patience={config.stop.patience} needs {key}, which is null: leave one of them out"


def objectives(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for objectives that have settings, and no class that takes them."""
    found = config.loss.objectives.items()
    without = [f"loss.objectives.{name}" for name, part in found if part is not None and "_target_" not in part]
    if without:
        names = ", ".join(without)
        yield (
            f"{names} {'has' if len(without) == 1 else 'have'} settings and no _target_: loss="
            f"{config.hydra.runtime.choices.loss} has no such objective, so add regularizer="
            f"[{','.join(name.rpartition('.')[2] for name in without)}], or {' '.join(f'~{name}' for name in without)}"
        )


def variant_and_loss(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where a variant with an adversarial objective of its own would replace that of another loss."""
    choices = config.hydra.runtime.choices
    own, loss = selected_by("variant", choices.get("variant")).get("loss"), choices.loss
    file = OmegaConf.create(read_conf(f"variant/{choices.get('variant')}.yaml", [conf_dir()]))
    if own not in (None, loss) and OmegaConf.select(file, "loss.objectives.adversarial"):
        yield (
            f"variant={choices.variant} has the adversarial loss of its paper, {own}, and loss={loss} would be without "
            f"effect: leave loss out, or choose another variant"
        )


def selected_by(group: str, choice: object) -> dict[str, str]:
    """Return what a file of conf/, and those that it builds on, choose of other groups."""
    folders = (conf_dir(),)
    lines = [line for name in lineage(group, str(choice), folders) for line in defaults_of(group, name, folders)]
    return {key: str(answer) for key, answer in lines if not key.startswith(PARENT)}


def model_and_data(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where the model does not take the data's shape."""
    accepts, shape = config.model.get("accepts"), list(config.data.shape)
    if accepts_shape(accepts, shape):
        return
    choices = config.hydra.runtime.choices
    if config.data.get("image_size") is not None and len(shape) == 3 and shape[0] in accepts.channels:
        way_out = choose_size(accepted_sizes(accepts, *shape[1:]))
    else:
        able = [name for name, answer in options("model") if accepts_shape(answer.get("accepts"), shape)]
        way_out = f"{join_or([f'model={name}' for name in able])}, or other data"
    yield (
        f"model={choices.model} takes images {sizes_in_words(accepts)} and {join_or(accepts.channels)} "
        f"channel(s), and data={choices.data} has shape {shape}: choose {way_out}"
    )


def accepts_shape(accepts: DictConfig | None, shape: list[int]) -> bool:
    """Return whether a model with the fact `accepts` can be built for samples of `shape`; None accepts any shape."""
    if accepts is None:
        return True
    if len(shape) != 3:
        return len(shape) == 1 and bool(accepts.get("vectors"))
    channels, height, width = shape
    return accepted_sizes(accepts, height, width) == [(height, width)] and channels in accepts.channels


def sizes_in_words(accepts: DictConfig) -> str:
    """Return which sizes a model with the fact `accepts` takes."""
    smallest = smallest_of(accepts)
    return (
        f"of {join_or(accepts.get('image_sizes', ['any number of']))} pixels"
        if smallest is None
        else f"with {describe_sizes(smallest)}"
    )


def model_and_loss(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where a loss of energies has a model that gives none."""
    if config.loss.get("energy") is None or config.model.get("energies"):
        return
    choices = config.hydra.runtime.choices
    able = [f"model={name}" for name, answer in options("model") if answer.get("energies")]
    yield (
        f"loss={choices.loss} needs a discriminator that gives energies, and that of model={choices.model} gives "
        f"scores: choose {join_or(able)}, or another loss"
    )


def model_and_prior(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where the prior draws classes that the generator does not have."""
    known, drawn = config.model.generator.get("num_classes"), (config.prior or {}).get("num_classes")
    if known is not None and drawn is not None and drawn > known:
        yield (
            f"prior.num_classes={drawn} has more classes than model.generator.num_classes={known}: choose the "
            "same number for both"
        )


def batch_and_devices(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where the global batch does not divide among the devices."""
    count = device_count(config.trainer.devices) * config.trainer.num_nodes
    batch = config.data.batch_size
    if batch % count:
        yield (
            f"data.batch_size={batch} is the batch of all devices together and does not divide among {count}: "
            f"choose data.batch_size={max(count, batch - batch % count)}"
        )


def ranks_and_devices(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where torchrun or srun started other processes than one a device, or with srun one a machine."""
    outside, devices, nodes = started_from_outside(), config.trainer.devices, config.trainer.num_nodes
    if outside is None and nodes > 1 and "MASTER_ADDR" not in os.environ:
        yield (
            f"trainer.num_nodes={nodes} would wait for other machines, and none is named: start it with torchrun or "
            "srun, or set MASTER_ADDR, MASTER_PORT and NODE_RANK on each machine"
        )
    if outside is None or devices in ("auto", -1):
        return
    per_node = {device_count(devices)} | ({1} if outside.by == "srun" else set())
    if outside.processes not in {nodes * number for number in per_node}:
        yield (
            f"{outside.by} started {outside.processes} processes, and trainer.devices={devices} with "
            f"trainer.num_nodes={nodes} needs {nodes * device_count(devices)}: "
            f"choose trainer.devices={outside.on_node} trainer.num_nodes={outside.processes // outside.on_node}"
        )


def strategy(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where a strategy of Lightning's does not suit two players."""
    name = config.trainer.strategy
    if name in ("auto", "ddp_find_unused_parameters_true"):
        return
    if "ddp" in str(name):
        reason = "expects every weight in every backward pass, where here one player has gradients at a time"
    elif any(word in str(name) for word in ("fsdp", "deepspeed", "parallel")):
        reason = "cuts a model into pieces, where here both players, their optimizers and the average stay whole"
    else:
        reason = "is not made for two players"
    yield f"trainer.strategy={name} {reason}: choose auto, or Lightning's ddp_find_unused_parameters_true"


def batch_and_pieces(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where there are more micro-batches than samples."""
    own = config.data.batch_size // (device_count(config.trainer.devices) * config.trainer.num_nodes)
    if config.micro_batches > max(own, 1):
        yield f"micro_batches={config.micro_batches} is more than the {own} samples of a device's batch: choose fewer"


def batch_and_packs(config: DictConfig) -> Iterator[str]:
    """Yield a sentence where a device's batch, or a micro-batch of it, does not divide into the packs of a wrapper."""
    own = config.data.batch_size // (device_count(config.trainer.devices) * config.trainer.num_nodes)
    piece = -(-own // config.micro_batches)
    for name, wrapper in config.wrappers.items():
        pack = wrapper.get("pack", 1) if wrapper else 1
        if own % pack or piece % pack:
            whole = f"the {own} samples of a device's batch" + (f", {piece} at a time," if piece < own else "")
            yield (
                f"wrappers.{name}.pack={pack}: {whole} do not divide into packs of {pack}: choose another "
                f"data.batch_size{' or micro_batches' if piece < own else ''}"
            )


def paths(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each file or folder that is to be read and is not there."""
    root, download = config.data.get("root"), config.data.get("download", False)
    for key, path in {
        "data.root": None if download else root,
        "data.a": config.data.get("a"),
        "data.b": config.data.get("b"),
        "extractor.weights": (config.get("extractor") or {}).get("weights"),
    }.items():
        if path is not None and not Path(str(path)).expanduser().exists():
            yield f"{key}={path} does not exist: give the path of what is there, or leave the key out"
    if config.ckpt_path is not None:
        try:
            checkpoint_of(config.ckpt_path)
        except UserError as error:
            yield from error.problems


def initial_weights(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for settings of trained weights where there are none."""
    for key in ("init_fresh", "freeze_discriminator"):
        if config[key] and config.init_from is None:
            yield f"{key}={format_value(config[key])} is for trained weights, and there are none: add init_from=<run>"


def options(group: str) -> Iterator[tuple[str, DictConfig]]:
    """Yield the files of a group with their content."""
    for file in sorted(Path(conf_dir(), group).glob("*.yaml")):
        answer = OmegaConf.load(file)
        if isinstance(answer, DictConfig):
            yield file.stem, answer


def join_or(options: Any) -> str:
    """Return ``a``, ``a or b``, ``a, b or c``."""
    words = [str(option) for option in options]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
