"""The benchmarks of speed and memory: what they time and count, and the loops that they compare with."""

from __future__ import annotations

import io
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

from benchmarks import (
    checkpoint_cost,
    common,
    dcgan_speed,
    devices_speed,
    gpu_speed,
    image_folder,
    loops,
    memory,
    toy_speed,
)
from gan_lightning.utils.conf import plain

SMALL = [*dcgan_speed.overrides_of(size=28, batch=4, width=2), "trainer.accelerator=cpu"]


def text_of(table: Table) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_the_hardware_is_named_with_its_threads() -> None:
    lines = common.hardware().splitlines()
    assert common.processor() in lines[0] and f"{common.cores()} core(s)" in lines[0]
    assert torch.__version__ in lines[1] and f"{torch.get_num_threads()} thread(s)" in lines[1]


def test_contenders_take_turns_and_the_order_turns_round() -> None:
    calls: list[str] = []

    def contender(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    measured = common.in_turns({name: partial(contender, name) for name in ("a", "b")}, rounds=2)
    assert calls == ["a", "b", "b", "a"]
    assert measured == {"a": [1, 4], "b": [2, 3]}


def test_a_spread_is_the_median_with_the_range() -> None:
    assert common.spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert common.spread([1.25], digits=1) == "1.2"
    assert common.ratios([3.0, 4.0], [2.0, 8.0]) == [1.5, 0.5]


def test_only_the_iterations_after_the_warm_up_are_timed() -> None:
    calls: list[int] = []

    def step() -> int:
        calls.append(len(calls))
        return 7

    class Watch(common.Stopwatch):
        def start(self) -> None:
            assert len(calls) == 3

        def stop(self) -> None:
            assert len(calls) == 8
            self.seconds = 2.0

    assert common.loop_speed(step, 3, 5, Watch()) == (2.5, 17.5)


def test_the_platform_is_timed_after_the_warm_up() -> None:
    class Watch(common.Stopwatch):
        def stop(self) -> None:
            super().stop()
            self.seconds = 2.0

    assert common.platform_speed([*SMALL, *common.SHOWN], 2, 3, Watch()) == (1.5, 6.0)


@pytest.mark.parametrize("share_fakes", [False, True])
def test_the_tuned_loop_moves_both_players(share_fakes: bool, tmp_path: Path) -> None:
    loop = loops.TunedLoop(common.composed(SMALL, tmp_path), share_fakes=share_fakes)
    assert moved_by(loop) == {"generator", "discriminator"}
    assert all(weight.requires_grad for weight in loop.discriminator.parameters())


def test_the_plain_loop_moves_both_players(tmp_path: Path) -> None:
    loop = loops.PlainLoop(common.composed(SMALL, tmp_path), workers=0)
    assert moved_by(loop) == {"generator", "discriminator"}
    assert all(loss > 0 for loss in loop.losses)


def moved_by(loop: loops.PlainLoop | loops.TunedLoop) -> set[str]:
    """Which players' every weight an iteration changes."""
    players = {"generator": loop.generator, "discriminator": loop.discriminator}
    before = {name: [weight.clone() for weight in net.parameters()] for name, net in players.items()}
    assert loop() == 4
    return {
        name
        for name, net in players.items()
        if all(not torch.equal(old, new) for old, new in zip(before[name], net.parameters(), strict=True))
    }


@pytest.mark.slow  # resizes the data twice
def test_both_loops_see_the_same_images(tmp_path: Path) -> None:
    # The plain loop's come from PIL, the tuned one's from torchvision's resize of tensors: antialiased alike.
    config = common.composed([*SMALL, "data.image_size=32", "data.batch_size=9000"], tmp_path)
    plain = loops.PILImages(loops.data_of(config).read(train=True).pixels, 32)
    tuned = next(loops.TunedLoop(config).batches)
    assert tuned.shape == (9000, 1, 32, 32)
    # A permutation of all: as many of each brightness.
    brightness = torch.stack([plain[index][0].mean() for index in range(9000)])
    torch.testing.assert_close(tuned.mean((1, 2, 3)).sort().values, brightness.sort().values, atol=2e-3, rtol=0)


def test_a_batch_may_be_larger_than_the_data(tmp_path: Path) -> None:
    config = common.composed([*SMALL, "data.batch_size=9001"], tmp_path)
    assert len(next(loops.TunedLoop(config).batches)) == 9001


def test_data_that_is_not_in_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images in memory.*not ToyData"):
        loops.data_of(common.composed(["experiment=gaussian"], tmp_path))


def test_dcgan_speed_measures_every_contender() -> None:
    measured = dcgan_speed.measure(SMALL, rounds=1, iterations=2, warm_up=1, workers=0)
    assert len(measured) == 5 and all(speed > 0 for (speed,) in measured.values())


def test_the_platform_stands_beside_the_loop_of_its_policy() -> None:
    speeds = {
        dcgan_speed.PLAIN: [100.0, 100.0],
        dcgan_speed.TUNED: [200.0, 400.0],
        dcgan_speed.PLATFORM: [300.0, 600.0],
        dcgan_speed.TUNED_SHARED: [400.0, 400.0],
        dcgan_speed.PLATFORM_SHARED: [100.0, 300.0],
    }
    lines = {line.split("│")[1].strip(): line for line in text_of(dcgan_speed.table_of(speeds, "")).splitlines()[4:-1]}
    assert "1.50 (1.50 to 1.50)" in lines[dcgan_speed.PLATFORM]
    assert "4.50 (3.00 to 6.00)" in lines[dcgan_speed.PLATFORM]
    assert "0.50 (0.25 to 0.75)" in lines[dcgan_speed.PLATFORM_SHARED]


def test_toy_speed_measures_both_sides() -> None:
    measured = toy_speed.measure(rounds=1, iterations=5, warm_up=1)
    assert measured.keys() == {"plain loop", "platform"} and all(speed > 0 for (speed,) in measured.values())
    assert "platform" in text_of(toy_speed.table_of(measured))


def test_gpu_speed_runs_but_for_the_gpu() -> None:
    setting = gpu_speed.Setting(32, 4, compile=False)
    result = gpu_speed.measure(setting, "cpu", rounds=1, iterations=2, warm_up=1, width=2)
    assert all(speed > 0 for (speed,) in result.speeds.values())
    shown = text_of(gpu_speed.table_of({setting: result}, [setting, gpu_speed.Setting(64, 8, compile=True)]))
    assert "not run" in shown and "32 px, batch 4" in shown
    assert len(list(gpu_speed.summary({setting: result}))) == 1


@pytest.mark.parametrize(("text", "mean"), [("90\n 100\n", 95.0), ("[N/A]\n", None), ("", None)])
def test_the_numbers_of_nvidia_smi_are_averaged(text: str, mean: float | None) -> None:
    assert gpu_speed.mean_of_numbers(text) == mean


def test_memory_is_noted_by_windows() -> None:
    often = [f"{what}_every=3" for what in ("evaluate", "samples", "checkpoint")]
    windows = memory.measure(6, 2, [*often, "metrics.num_fakes=50"])
    assert [window.iteration for window in windows] == [2, 4, 6]
    assert all(window.mib > 50 and window.iterations_per_second > 0 for window in windows)


def test_the_cost_of_checksums_and_of_the_lock_is_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint_cost.main(["--quick", "--results", str(tmp_path)])
    text = (tmp_path / "checkpoint_cost.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    for words in ("| saved | 0.", "| read | 0.", "| taken and released, once a run |", "| a heartbeat, every 10 s |"):
        assert words in text


def test_the_cost_of_checksums_is_the_digest_and_the_crc_and_what_reading_takes_longer() -> None:
    times = {"saved": [4.0, 4.0], "digest": [0.5, 0.5], "to nowhere": [2.0, 2.0], "to nowhere without CRC-32": [1.5]}
    times |= {"read": [4.0, 4.0], "read by torch.load": [1.0, 1.0]}
    assert checkpoint_cost.shares_of_checksums(times) == (25.0, 75.0)
    text = checkpoint_cost.page((25_000_000, 24_000_000, 700.0), times, (2e-3, 5e-5), 1e-3)
    assert "25.0 million" in text and "700 MB" in text and "checksums are 25 %" in text
    assert "| saved | 4.0000 (4.0000 to 4.0000) |" in text
    assert "| 2.00 ms | 2.00 iterations of the 1-D toy |" in text
    assert "| 50 µs | 0.00050 % of training, 5.000 ns of the 1.00 ms" in text


def test_growth_is_that_of_a_line_after_the_first_window() -> None:
    windows = [memory.Window(1000 * step, mib, 1.0) for step, mib in [(1, 90.0), (2, 101.0), (3, 104.0), (4, 107.0)]]
    assert memory.growth(windows) == pytest.approx((3.0, 17.0))
    with pytest.raises(ValueError, match="three windows or more, not 2"):
        memory.growth(windows[:2])


@pytest.mark.slow
def test_memory_stays_flat() -> None:
    slope, largest = memory.growth(memory.measure(3000, 500))
    assert largest < memory.FLAT_MIB and slope < 2


def test_the_speed_of_a_run_is_that_after_its_warm_up(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    rows = ["10,1000,1", "20,2000,100", "25,,", "30,3000,1000", "40,4000,250"]
    metrics.write_text("\n".join(["iteration,images,images_per_second", *rows]) + "\n")
    assert devices_speed.images_per_second(metrics, warm_up=20) == pytest.approx(2000 / (1 + 4))
    with pytest.raises(ValueError, match="choose more iterations"):
        devices_speed.images_per_second(metrics, warm_up=40)


def test_the_largest_difference_is_over_all_weights() -> None:
    these = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}
    those = {"a": torch.tensor([1.0, 2.5]), "b": torch.tensor(2)}
    assert devices_speed.largest_difference(these, those) == 1
    with pytest.raises(ValueError, match=r"\['b'\]"):
        devices_speed.largest_difference(these, {"a": those["a"]})


def test_a_run_leaves_its_weights_and_its_speed(tmp_path: Path) -> None:
    settings = [*devices_speed.QUIET, *devices_speed.GAMES["dcgan"], *SMALL, "max_iterations=4", "log_every=1"]
    datamodule, gan, trainer = common.build(common.composed(settings, tmp_path), tmp_path)
    trainer.fit(gan, datamodule)
    left = devices_speed.weights(tmp_path)
    torch.testing.assert_close(left["generator.to_rgb.0.weight"], gan.generator.state_dict()["to_rgb.0.weight"])
    assert "discriminator.score.1.weight" in left
    assert devices_speed.images_per_second(tmp_path / "metrics.csv", 1) > 0


def test_a_run_that_fails_reports_the_reason(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="(?s)ended with 2.*none_such"):
        devices_speed.run(["model=none_such"], tmp_path)


@pytest.mark.slow
def test_two_processes_stay_one_model() -> None:
    runs = devices_speed.Runs("dcgan", batch=8, width=8, warm_up=1, iterations=devices_speed.LINES)
    speeds = {name: [runs.speed(name)] for name in devices_speed.STRATEGIES}
    assert runs.differences[devices_speed.OWN] == 0
    # By SGD: Adam divides by the gradient's size, so that rounding of a gradient near 0 becomes a step.
    assert runs.difference_from_one_process("sgd", iterations=5) <= 1e-6
    assert "0.0e+00" in text_of(devices_speed.table_of(speeds, runs.differences, ""))


@pytest.mark.parametrize("name", ["toy_speed", "dcgan_speed", "devices_speed", "memory", "gpu_speed"])
def test_a_wrong_number_is_refused_with_a_reason(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = sys.modules[f"benchmarks.{name}"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", [name, "--iterations", "0"])
        module.main()
    assert ended.value.code == 2
    assert "no whole number of at least 1" in capsys.readouterr().err


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_speed"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu_speed.main()
    shown = capsys.readouterr().out
    assert shown.count("not run") == 8 and "There is no CUDA GPU here" in shown


def test_image_folder_measures_every_contender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_LIGHTNING_CACHE", str(tmp_path / "cache"))
    image_folder.write_images(tmp_path / "images", 24)
    assert len(list((tmp_path / "images").rglob("*.png"))) == 24
    small = ("data.batch_size=4", "model.generator.width=4", "model.discriminator.width=4", "data.num_workers=0")
    table = image_folder.measure(tmp_path / "images", rounds=1, warm_up=1, iterations=1, more=small)
    assert list(table.columns[0].cells) == ["memory", "cache", "torchvision"]
    assert all(float(str(cell)) > 0 for column in table.columns[1:] for cell in column.cells)


def test_both_readers_of_image_folder_see_the_same_images(tmp_path: Path) -> None:
    image_folder.write_images(tmp_path / "images", 24)
    batches = []
    for name in ("memory", "torchvision"):
        line = image_folder.overrides_of(name, tmp_path / "images", ("data.batch_size=24", "data.num_workers=0"))
        data = instantiate(plain(common.composed(line, tmp_path))["data"], _convert_="all")
        images, labels = next(iter(data.train_dataloader()))
        order = images.flatten(1).sum(1).argsort()
        batches.append((images[order], labels[order]))
    assert torch.allclose(batches[0][0], batches[1][0], atol=1e-6)
    assert torch.equal(batches[0][1], batches[1][1])
