from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_command import run_script
from composing import composed, job_part, resolved
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.cli.errors import UserError, WorkError, mistakes_told
from gan_lightning.cli.evaluate import choose_metrics, evaluate, published, reserved
from gan_lightning.cli.moved_data import move_data
from gan_lightning.cli.session import train
from gan_lightning.cli.trained import load
from gan_lightning.cli.wandb_run import series
from gan_lightning.data.idx import read_idx
from gan_lightning.data.mnist import ASSETS, Mnist10k
from gan_lightning.figures.images import to_uint8
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.protocol import protocol_of

SMALL = (
    *("logger=csv", "max_iterations=6", "evaluate_every=3", "checkpoint_every=3", "samples_every=6", "log_every=6"),
    *("metrics.num_fakes=230", "data.reference=test", "trainer.accelerator=cpu", "data.batch_size=16"),
    *("model.generator.width=4", "model.discriminator.width=4", "trainer.precision=bf16-mixed"),
)
LINE = re.compile(r"^(val/\S+)\s+(\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in half precision."""
    directory = tmp_path_factory.mktemp("run")
    with composed(*SMALL, directory=directory) as config:
        train(job_part(config))
    return directory


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def judged(*overrides: str) -> dict[str, dict[str, float]]:
    with composed("device=cpu", *overrides, config_name="eval") as config:
        return evaluate(job_part(config))


def result(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def test_the_result_of_a_run_says_how_it_was_measured(run: Path):
    said = result(run)
    protocol = said["protocol"]
    assert (protocol["num_fakes"], protocol["seed"], protocol["weights"]) == (230, 0, "ema")
    assert protocol["reference"]["split"] == "test" and protocol["reference"]["size"] == 1000
    assert protocol["numbers"]["val/fid"]["extractor"].startswith("digits-")
    assert said["final_iteration"] == said["iterations"] == 6
    assert said["best"]["iteration"] in (3, 6) and said["best"]["val/fid"] <= said["final"]["val/fid"]


@pytest.mark.slow
def test_the_last_checkpoint_gives_every_digit_that_training_printed(tmp_path: Path):
    trained = run_script(tmp_path, "train.py", *SMALL, "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    again = run_script(
        tmp_path, "eval.py", "ckpt_path=run", "metrics=[digits,kid]", "metrics.metrics.kid.subset_size=50"
    )
    assert again.returncode == 0, again.stderr
    before, after = dict(LINE.findall(trained.stdout)), dict(LINE.findall(again.stdout))
    assert {"val/fid", "val/confidence", "val/class_entropy"} <= before.keys() and "val/kid" in after
    assert {key: after[key] for key in before if not key.endswith("_best")} == {
        key: value for key, value in before.items() if not key.endswith("_best")
    }
    for words in ("iteration 6, averaged generator, seed 0", "230 fakes against 1000 real samples (Mnist10k, test)"):
        assert words in again.stdout
    written = tmp_path / again.stdout.splitlines()[-1]
    known = json.loads(written.read_text())
    assert known["values"]["val/fid"] == result(tmp_path / "run")["final"]["val/fid"]
    assert known["protocol"]["numbers"]["val/fid"] == result(tmp_path / "run")["protocol"]["numbers"]["val/fid"]


def test_half_precision_in_training_leaves_the_numbers_those_of_float32(run: Path):
    """Held against the checkpoint's weights in a plain loop, in float32 and on contiguous memory."""
    trained = load(run / "checkpoints" / "last.ckpt", "cpu")
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["precision"] == "bf16-mixed"
    latent = trained.gan.draw(230, "evaluation")
    with torch.no_grad():
        fakes = trained.gan.averaged_generator(latent)
    assert fakes.dtype == torch.float32
    metric = DigitQuality()
    metric.update(read_idx(ASSETS / "mnist10k" / "t10k-images-idx3-ubyte.gz")[:, None] / 127.5 - 1, real=True)
    metric.update(fakes, real=False)
    assert result(run)["final"]["val/fid"] == pytest.approx(metric.compute()["fid"], rel=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(trained.gan.generate(latent), trained.gan.generate(latent).float())
        torch.testing.assert_close(trained.gan.generate(latent), fakes)


def test_other_weights_checkpoints_seeds_and_metrics(run: Path, capsys: pytest.CaptureFixture[str]):
    final = result(run)["final"]
    both = judged(f"ckpt_path={run}", "which=both")
    assert both["last"]["val/fid"] == final["val/fid"]
    assert both["best"]["val/fid"] == result(run)["best"]["val/fid"]
    assert judged(f"ckpt_path={run}", "weights=raw")["last"]["val/fid"] != final["val/fid"]
    assert "generator without averaging" in capsys.readouterr().out
    assert judged(f"ckpt_path={run}", "seed=1")["last"]["val/fid"] != final["val/fid"]
    other = judged(f"ckpt_path={run}", "metrics=sliced_wasserstein", "num_fakes=50")
    assert other["last"].keys() == {"val/swd"}
    assert "50 fakes" in capsys.readouterr().out
    names = {path.name for path in (run / "evaluations").iterdir()}
    assert {"last_digits_230_s0.json", "last_raw_digits_230_s0.json", "last_digits_230_s1.json"} < names
    before = len(names)
    judged(f"ckpt_path={run}")
    assert len(list((run / "evaluations").iterdir())) == before + 1, "nothing is overwritten"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["which=first"], "which must be last, best or both, not first"),
        (["weights=average"], "weights must be ema or raw"),
        (["num_fakes=0"], "num_fakes must be a whole number"),
        (["wandb=true", "num_fakes=10"], "was not logged to W&B"),
        (["metrics=none"], "measured nothing"),
        (["metrics=ring"], "cannot be filled in"),
        (["metrics=labelled_digits"], "no fake was made for a class"),
        (["metrics=inception", "extractor=digits"], "metrics=inception needs extractor=inception, not digits"),
        (
            ["extractor=backbone"],
            "extractor=backbone is without effect, as none of the run's metrics (digits) lets one",
        ),
        (["metrics=precision_recall", "extractor=digits", "num_fakes=3"], "needs at least 4 fakes, not 3"),
        (["data.a=photos"], "data.a is no setting of this run's data"),
        (["real=a"], "give two folders: real=... and fake=..."),
        (["real=a", "fake=b"], "ckpt_path is for checkpoints"),
        (["real=a", "fake=b", "ckpt_path=null", "data.root=c"], "data.* is for checkpoints"),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Path, overrides: list[str], words: str):
    before = sorted((run / "evaluations").glob("*"))
    with pytest.raises(UserError, match=re.escape(words)):
        judged(f"ckpt_path={run}", *overrides)
    assert sorted((run / "evaluations").glob("*")) == before


@pytest.mark.parametrize("which", ["best", "both"])
def test_a_file_has_no_best(run: Path, which: str):
    file = run / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match=f"which={which} chooses from a run directory, and .*last.ckpt is a file"):
        judged(f"ckpt_path={file}", f"which={which}")
    with pytest.raises(UserError, match="ckpt_path=none/such.ckpt holds no checkpoint"):
        judged("ckpt_path=none/such.ckpt", f"which={which}")


def test_the_runs_own_metrics_look_through_what_is_chosen():
    with composed("metrics=[fid,kid,digits,labelled_digits]") as config:
        trained = OmegaConf.create(resolved(config))
    with composed("extractor=classifier", "data.root=x", config_name="eval") as config:
        choose_metrics(trained, job_part(config))
    metrics = resolved_part(trained.metrics.metrics)
    for name in ("fid", "kid"):
        assert metrics[name]["extractor"]["_target_"].endswith(".Classifier")
        assert metrics[name]["extractor"]["num_classes"] == 10
    assert "extractor" not in metrics["labels"]
    with composed("metrics=inception") as config:
        trained = OmegaConf.create(resolved(config))
    with composed("extractor=digits", config_name="eval") as config, pytest.raises(UserError, match="not digits"):
        choose_metrics(trained, job_part(config))


def resolved_part(config: Any) -> Any:
    return OmegaConf.to_container(config, resolve=True)


def test_data_without_an_extractor_say_so():
    with composed("data=ring", "model=mlp") as config:
        trained = OmegaConf.create(resolved(config))
    with composed("metrics=fid", config_name="eval") as config:
        choose_metrics(trained, job_part(config))
    with pytest.raises(UserError, match="fid: looks through an extractor, and this data brings none"), mistakes_told():
        instantiate(trained.metrics.metrics, _convert_="all")


def test_two_evaluations_beside_each_other_take_two_names(tmp_path: Path):
    names = [reserved(tmp_path, "last").name for _ in range(3)]
    assert names == ["last.json", "last_2.json", "last_3.json"]


def test_what_cannot_be_written_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(path: Path, content: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("gan_lightning.cli.record.write_json", fail)
    said = protocol_of({}, mnist(), num_fakes=1, batch_size=1)
    with pytest.raises(WorkError, match="cannot be written to: no space left"):
        published({"protocol": said, "values": {}}, tmp_path, "last", "")
    assert not list(tmp_path.iterdir())


# A run whose images were moved


def test_images_that_were_moved_are_found_where_they_are_now(tmp_path: Path, digits: tuple[torch.Tensor, torch.Tensor]):
    folder(tmp_path / "before", digits[0][:16])
    run = tmp_path / "run"
    chosen = ("data=image_folder", f"data.root={tmp_path}/before", "data.image_size=28", "data.channels=1")
    small = [part for part in SMALL if not part.startswith("data.reference")]
    with composed(*small, *chosen, "metrics.num_fakes=20", "callbacks.evaluation.cache=null", directory=run) as config:
        train(job_part(config))
    (tmp_path / "before").rename(tmp_path / "now")
    with pytest.raises(UserError, match=r"data\.root="):
        judged(f"ckpt_path={run}", "cache=null")
    values = judged(f"ckpt_path={run}", f"data.root={tmp_path}/now", "cache=null")["last"]
    assert values["val/swd"] == result(run)["final"]["val/swd"]
    (written,) = (run / "evaluations").iterdir()
    assert json.loads(written.read_text())["data"]["root"] == f"{tmp_path}/now"


def test_a_prior_that_draws_from_the_data_draws_from_where_they_are_now():
    folders = ("data=unpaired_folders", "data.a=old_a", "data.b=old_b")
    with composed("variant=cyclegan", *folders) as config:
        trained = OmegaConf.create(resolved(config))
    move_data(trained, {"a": "new_a"})
    for data in (trained.data, trained.prior.data, trained.gan.prior.data):
        assert (data.a, data.b) == ("new_a", "old_b")


# W&B


def test_different_protocols_are_different_series_of_the_runs_own_wandb_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    logged = tmp_path / "run"
    shutil.copytree(run / "checkpoints", logged / "checkpoints")
    for name in ("last", "best"):
        file = logged / "checkpoints" / f"{name}.ckpt"
        content = torch.load(file, weights_only=True)
        content["hyper_parameters"]["logger"] = {"wandb": {"project": "test"}}
        torch.save(content, file)
    (logged / "wandb_run_id").write_text("0123abcd\n")
    judged(f"ckpt_path={logged}", "which=both", "num_fakes=30", "metrics=sliced_wasserstein", "wandb=true")
    judged(f"ckpt_path={logged}", "weights=raw", "num_fakes=40", "wandb=true")
    expected = [
        rb"eval/last_30_s0_\w{6}/swd",
        rb"eval/best_30_s0_\w{6}/swd",
        rb"eval/last_raw_40_digits-\w+_s0_\w{6}/fid",
    ]
    until = time.monotonic() + 20
    while time.monotonic() < until:  # another process writes the files
        sent = b"".join(file.read_bytes() for file in logged.rglob("*-0123abcd*/*.wandb"))
        if all(re.search(words, sent) for words in expected):
            break
        time.sleep(0.1)
    assert all(re.search(words, sent) for words in expected)
    assert b"reference" in sent, "the protocol, in the config"


def test_a_series_is_of_one_protocol():
    first = protocol_of({"swd": SlicedWasserstein(4)}, mnist(), num_fakes=9, batch_size=9, weights="ema", seed=0)
    other = protocol_of({"swd": SlicedWasserstein(5)}, mnist(), num_fakes=9, batch_size=9, weights="ema", seed=0)
    names = {
        series("last", first, "val/swd"),
        series("best", first, "val/swd"),
        series("last", other, "val/swd"),
        series("last", {**first, "weights": "raw"}, "val/swd"),
        series("last", {**first, "seed": 1}, "val/swd"),
        series("last", {**first, "num_fakes": 8}, "val/swd"),
        series("last", {**first, "reference": {**first["reference"], "split": "train"}}, "val/swd"),
    }
    assert len(names) == 7
    assert series("last", {**first, "batch_size": 1}, "val/swd") == series("last", first, "val/swd")


# Two folders


def folder(path: Path, images: torch.Tensor) -> Path:
    """PNGs of images (count, 1, height, width) in [-1, 1], some of them deeper."""
    for number, image in enumerate(to_uint8(images).numpy()):
        file = path / ("deep" if number % 3 else ".") / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.squeeze(image)).save(file)
    return path


def mnist() -> Mnist10k:
    return Mnist10k(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=8, seed=0, reference="test")


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.cat(list(mnist().reference_batches("cpu")))
    return images[:120], (images[120:200] + images[200:280]).clamp(-1, 1)


def test_two_folders_are_judged_as_their_images_are(home: Path, digits: tuple[torch.Tensor, torch.Tensor]):
    real, fake = digits
    folder(home / "real", real)
    folder(home / "fake", fake)
    values = judged("real=real", "fake=fake", "metrics=[digits,sliced_wasserstein]")["fake"]
    metric = DigitQuality()
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert values["val/fid"] == pytest.approx(metric.compute()["fid"], rel=1e-6)
    (written,) = (home / "outputs" / "evaluations").iterdir()
    known = json.loads(written.read_text())
    assert written.name == "fake_digits-sliced_wasserstein_80.json"
    assert (known["num_fakes"], known["reference_size"]) == (80, 120)
    assert known["protocol"]["weights"] == "files" and known["values"] == values
    again = judged("real=real", "fake=fake", "metrics=[fid]", "extractor=digits")["fake"]
    assert again["val/fid"] == values["val/fid"]


def test_folders_of_different_kinds_are_one_sentence(home: Path, digits: tuple[torch.Tensor, torch.Tensor]):
    folder(home / "real", digits[0][:4])
    folder(home / "small", digits[1][:4, :, ::2, ::2])
    folder(home / "colour", digits[1][:4])
    for path in (home / "colour").rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    chosen = ("metrics=digits", "extractor=digits")
    with pytest.raises(UserError, match=r"28x28 pixels .* of 14x14: bring them to one size by image_size=N"):
        judged("real=real", "fake=small", *chosen)
    with pytest.raises(UserError, match=r"holds grey images and fake=.*colour ones: bring them to one by channels=1"):
        judged("real=real", "fake=colour", *chosen)
    assert judged("real=real", "fake=colour", "channels=1", *chosen)["colour"]["val/fid"] >= 0
    assert judged("real=real", "fake=small", "image_size=28", *chosen)["small"]["val/fid"] > 0


def test_what_a_folder_cannot_answer_is_told_and_nothing_is_written(
    tmp_path: Path, digits: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody answers
    folder(tmp_path / "real", digits[0][:4])
    folder(tmp_path / "broken", digits[1][:4])
    path = tmp_path / "broken" / "0000.png"
    path.write_bytes(path.read_bytes()[:150])
    for overrides, words in (
        (("fake=absent", "metrics=digits"), "fake=absent does not exist"),
        (("fake=broken", "metrics=digits"), "broken/0000.png cannot be read"),
        (("fake=real",), "Inception weights could not be downloaded"),
        (("fake=real", "metrics=fid", "extractor=classifier"), "learns the classes of the data, and this has none"),
    ):
        with pytest.raises(UserError, match=words):
            judged("real=real", *overrides)
    assert not (tmp_path / "outputs").exists()


def test_evaluation_shares_one_extractor_among_metrics():
    with composed("metrics=[digits,kid]") as config:
        made = instantiate(config.callbacks.evaluation, _convert_="all")
    assert isinstance(made, Evaluation)
    assert len({id(metric.extractor) for metric in made.metrics.values()}) == 1 and len(made.metrics) == 2
