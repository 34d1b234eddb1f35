"""Seconds and memory of the metrics beside torchmetrics, torch-fidelity and pytorch-fid, on the same features.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --count 2000 --dim 256

From features, in memory, to the number: no network is run. Each measurement has a process of its own. The features are
random, not negative, of a spectrum that falls as that of Inception's. The table goes to benchmarks/results/metrics.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from benchmarks.common import hardware, positive, prepare, present
from benchmarks.memory import MIB, resident_mib
from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.kid import KernelDistance
from gan_lightning.metrics.precision_recall import DensityCoverage, PrecisionRecall

RESULTS = Path(__file__).parent / "results" / "metrics.md"
OURS = "gan_lightning"
BATCH = 500
PRECISION_K, DENSITY_K = 3, 5
LIBRARIES = ["benchmarks.common", "gan_lightning.metrics.precision_recall", "gan_lightning.metrics.kid"]
LIBRARIES += ["torchmetrics.image.fid", "torchmetrics.image.kid", "torch_fidelity", "pytorch_fid.fid_score"]
"""Modules that every measuring process has loaded before it begins; those that are not installed are left out."""


class Measured(NamedTuple):
    """The findings of one process: seconds; memory at its peak beyond libraries and features, in MiB; the numbers."""

    seconds: float
    mib: float
    values: list[float]


class Given(Extractor):
    """The samples are the features."""

    preprocessing = "none"

    def __init__(self, dim: int) -> None:
        super().__init__(dim, None, "given")

    def extract(self, images: Tensor) -> Features:
        return Features(images, None)


class Same(nn.Identity):
    """As an Inception network for torchmetrics."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_features = dim


def random_features(count: int, dim: int, seed: int, scale: float = 1.0) -> Tensor:
    """Return (count, dim) of float32, not negative, correlated; their standard deviations fall as a power."""
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(0))
    mixing *= torch.arange(1, dim + 1)[:, None] ** -0.6
    rng = torch.Generator().manual_seed(seed)
    return (scale * 0.3 * (torch.randn(count, dim, generator=rng) @ mixing) + 0.2).relu()


def shown(metric: SampleMetric, fake: Tensor, real: Tensor) -> list[float]:
    """Return our metric's numbers of features shown in batches."""
    for batch in real.split(BATCH):
        metric.update(batch, real=True)
    return compute_fakes(metric, fake)


def compute_fakes(metric: SampleMetric, fake: Tensor) -> list[float]:
    """Return the numbers of fakes shown in batches to our metric, which has seen the real samples."""
    for batch in fake.split(BATCH):
        metric.update(batch, real=False)
    return list(metric.compute().values())


def again(metric: SampleMetric, fake: Tensor, real: Tensor) -> tuple[list[float], float]:
    """Return what `shown` does, and the seconds of a second evaluation, for which the real samples are known."""
    shown(metric, fake, real)
    started = time.perf_counter()
    metric.reset()
    return compute_fakes(metric, fake), time.perf_counter() - started


def of_torchmetrics(name: str, fake: Tensor, real: Tensor) -> list[float]:
    """Return FID or KID by torchmetrics."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    dim = fake.shape[1]
    size = min(1000, len(fake))
    metric = FrechetInceptionDistance(Same(dim)) if name == "FID" else KernelInceptionDistance(Same(dim), 100, size)
    for features, is_real in ((real, True), (fake, False)):
        for batch in features.split(BATCH):
            metric.update(batch, real=is_real)
    value = metric.compute()
    return [float(part) for part in (value if isinstance(value, tuple) else (value,))]


def of_torch_fidelity(name: str, fake: Tensor, real: Tensor) -> list[float]:
    """Return FID, KID, or precision and recall by torch-fidelity."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    if name == "FID":
        found = fid_statistics_to_metric(fid_features_to_statistics(fake), fid_features_to_statistics(real), False)
    elif name == "KID":
        found = kid_features_to_metric(fake, real, kid_subset_size=min(1000, len(fake)), verbose=False)
    else:
        found = prc_features_to_metric(fake, real, prc_neighborhood=PRECISION_K, verbose=False)
        del found["f_score"]
    return list(found.values())


def of_pytorch_fid(fake: Tensor, real: Tensor) -> list[float]:
    """Return FID by pytorch-fid."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    moments = [(x.mean(axis=0), np.cov(x, rowvar=False)) for x in (fake.numpy(), real.numpy())]
    return [float(calculate_frechet_distance(*moments[0], *moments[1]))]


def all_distances(fake: Tensor, real: Tensor) -> list[float]:
    """Return density and coverage as Naeem et al. 2020 publish them: from all distances at once."""
    radii = torch.cdist(real, real).kthvalue(DENSITY_K + 1).values
    inside = torch.cdist(real, fake) < radii[:, None]
    return [inside.sum(dim=0).double().mean().item() / DENSITY_K, inside.any(dim=1).double().mean().item()]


def ours(name: str, dim: int) -> SampleMetric:
    """Return our metric of a name."""
    kinds: dict[str, type[FrechetDistance | KernelDistance | PrecisionRecall | DensityCoverage]] = {
        "FID": FrechetDistance,
        "KID": KernelDistance,
        "precision, recall": PrecisionRecall,
        "density, coverage": DensityCoverage,
    }
    return kinds[name](Given(dim))


Contender = Callable[[str, Tensor, Tensor], list[float]]
CONTENDERS: dict[str, Contender] = {
    OURS: lambda name, fake, real: shown(ours(name, fake.shape[1]), fake, real),
    "torchmetrics": of_torchmetrics,
    "torch-fidelity": of_torch_fidelity,
    "pytorch-fid": lambda name, fake, real: of_pytorch_fid(fake, real),
    "all distances at once": lambda name, fake, real: all_distances(fake, real),
}
MEASURES = {
    "FID": [OURS, "torchmetrics", "torch-fidelity", "pytorch-fid"],
    "KID": [OURS, "torchmetrics", "torch-fidelity"],
    "precision, recall": [OURS, "torch-fidelity"],
    "density, coverage": [OURS, "all distances at once"],
}
LATER = f"{OURS}, later"
"""An evaluation that finds the real samples known, as every one of a run but the first."""


def measure_here(name: str, contender: str, folder: Path) -> Measured:
    """Measure in this process, which should do nothing else."""
    fake, real = (torch.from_numpy(np.load(folder / f"{kind}.npy")) for kind in ("fake", "real"))
    before, started = resident_mib(), time.perf_counter()
    if contender == LATER:
        values, seconds = again(ours(name, fake.shape[1]), fake, real)
    else:
        values = CONTENDERS[contender](name, fake, real)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    return Measured(seconds, peak - before, values)


def write_features(count: int, dim: int, folder: Path) -> None:
    """Write the features of both sides to files."""
    np.save(folder / "real.npy", random_features(count, dim, seed=1).numpy())
    np.save(folder / "fake.npy", random_features(count, dim, seed=2, scale=1.1).numpy())


def send(sender: Connection, work: Callable[..., object], given: tuple[object, ...]) -> None:
    """Do `work` and send its result, or what went wrong in a line."""
    try:
        sender.send(work(*given))
    except Exception as error:
        sender.send(f"failed: {error}".splitlines()[0])


def in_own_process(work: Callable[..., object], *given: object) -> object:
    """Return the result of `work` in a process that has only loaded the libraries; a line where it fails."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(sender, work, given))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:  # it was killed, as for want of memory
        return "failed: the process ended early"
    finally:
        process.join()


def measure(name: str, contender: str, folder: Path) -> Measured | str:
    """Measure in a process of its own; return why not, where that fails."""
    if contender == "pytorch-fid" and importlib.util.find_spec("pytorch_fid") is None:
        return "not installed"
    found = in_own_process(measure_here, name, contender, folder)
    assert isinstance(found, tuple | str)
    return found if isinstance(found, str) else Measured(*found)


def row_of(name: str, contender: str, found: Measured | str, first: Measured) -> list[str]:
    """Return a row of the table, beside our own measurement."""
    if isinstance(found, str):
        return [name, contender, found, "", "", "", ""]
    values = ", ".join(f"{value:.6g}" for value in found.values)
    compared = ["", ""] if found is first else [f"{found.seconds / first.seconds:.2f}", f"{found.mib / first.mib:.2f}"]
    return [name, contender, f"{found.seconds:.1f}", f"{found.mib:.0f}", *compared, values]


Results = Mapping[tuple[str, str], Measured | str]
"""By the metric and the library that computes it."""
HEADERS = ["metric", "by", "seconds", "peak MiB", "seconds / ours", "MiB / ours", "value"]


def rows_of(results: Results) -> list[list[str]]:
    """Return the rows of the table."""
    firsts = {name: found for (name, by), found in results.items() if by == OURS and isinstance(found, Measured)}
    nothing = Measured(float("nan"), float("nan"), [])
    return [row_of(name, by, found, firsts.get(name, nothing)) for (name, by), found in results.items()]


def remarks(count: int, dim: int, seconds: float, results: Results) -> Iterable[str]:
    """Yield the remarks under the table."""
    yield f"{count:,} fakes and as many real samples, {dim:,} features of float32; {timedelta(seconds=round(seconds))}."
    yield (
        "Seconds are from features to the number. Peak MiB is what a process held at most beyond its libraries and the "
        f"features. '{LATER}' is an evaluation after the first: the factor and the radii of the real samples are kept."
    )
    yield (
        "KID: 100 subsets of 1 000 (all where there are fewer); torchmetrics draws others, and so its number differs. "
        "Precision and recall k=3; density and coverage k=5, beside the published formula on all distances."
    )
    if "not installed" in results.values():
        yield "pytorch-fid is not installed: pip install 'gan_lightning[benchmark]'."


def markdown(rows: Iterable[Iterable[str]], said: Iterable[str]) -> str:
    """Return the table and its remarks as Markdown."""
    table = [HEADERS, ["---"] * 2 + ["---:"] * (len(HEADERS) - 3) + ["---"], *rows]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    listed = "\n".join(f"- {sentence}" for sentence in [*said, *hardware().splitlines()])
    return f"# Metrics beside other libraries\n\n`python -m benchmarks.metrics`\n\n{lines}\n\n{listed}\n"


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=positive, default=10_000, help="samples of a side (default: 10000)")
    parser.add_argument("--dim", type=positive, default=2048, help="features of a sample (default: 2048)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file to write")
    given = parser.parse_args()
    prepare()
    started = time.perf_counter()
    results: dict[tuple[str, str], Measured | str] = {}
    with TemporaryDirectory() as folder:
        in_own_process(write_features, given.count, given.dim, Path(folder))
        todo = [(name, by) for name, contenders in MEASURES.items() for by in (OURS, LATER, *contenders[1:])]
        for name, by in track(todo, "measuring", transient=True):
            if not (name == "KID" and by == LATER):  # nothing of the real samples is kept but themselves
                results[name, by] = measure(name, by, Path(folder))
    rows = rows_of(results)
    table = Table(*HEADERS)
    for row in rows:
        table.add_row(*row)
    said = list(remarks(given.count, given.dim, time.perf_counter() - started, results))
    present(table, *said)
    given.results.parent.mkdir(exist_ok=True)
    given.results.write_text(markdown(rows, said), encoding="utf-8")


if __name__ == "__main__":
    main()
