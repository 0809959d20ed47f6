"""Training by Lightning, straight from a store."""

from __future__ import annotations

import json
import multiprocessing
import re
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning")

import stemzarr  # noqa: E402 - after what may be missing
from stemzarr.testing import write_synthetic_dm4  # noqa: E402
from stemzarr.torch import PatternDataset, make_loader  # noqa: E402
from stemzarr.views import View  # noqa: E402


class Level(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """Learns the mean of all pixels, and keeps how many patterns it saw in each epoch."""

    def __init__(self, scaling: Any) -> None:
        super().__init__()
        self.scaling = scaling
        self.level = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[int] = []

    def on_train_epoch_start(self) -> None:
        self.seen.append(0)

    def training_step(self, batch: Any, _number: int) -> Any:
        self.seen[-1] += len(batch)
        return ((self.scaling(batch) - self.level) ** 2).mean()

    def validation_step(self, batch: Any, _number: int) -> None:
        self.log("loss", ((self.scaling(batch) - self.level) ** 2).mean(), batch_size=len(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.leaves_open
def test_lightning_trains_on_every_pattern_once_an_epoch(tmp_path: Path) -> None:
    """A Trainer takes the loaders as they are: each epoch is exact, and the model learns."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (12, 10), (16, 16))
    dataset = PatternDataset(path, View(downsample=2), scale_on_device=True)
    upper = np.arange(12)[:, np.newaxis] < np.full(10, 9)
    training, validation = dataset.take([upper]), dataset.take([~upper])
    model = Level(dataset.scaling)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        use_distributed_sampler=False,
    )
    trainer.fit(
        model,
        make_loader(training, 8),
        make_loader(validation, 8, shuffle=False),
    )
    assert model.seen == [len(training)] * 3
    everything = training.fetch(range(len(training))).numpy()
    assert float(model.level.detach()) == pytest.approx(float(everything.mean()), rel=0.5)
    assert np.isfinite(float(trainer.callback_metrics["loss"]))


PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def digests_of(batch: Any) -> list[int]:
    """Return a number for each pattern that tells it from the others."""
    return [zlib.crc32(pattern.numpy().tobytes()) for pattern in batch]


class Diary(Level):
    """Writes down which patterns its rank saw in which epoch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(torch.nn.Identity())
        self.folder = folder

    def training_step(self, batch: Any, _number: int) -> Any:
        line = json.dumps([self.current_epoch, digests_of(batch)])
        with (self.folder / f"rank{self.global_rank}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return ((batch - self.level) ** 2).mean()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.leaves_open
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_two_ranks_of_the_documented_data_module_share_epochs_and_resume(tmp_path: Path) -> None:
    """Stopped in mid-epoch and resumed, two ranks see each training pattern once an epoch."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (24, 20), (16, 16))
    stemzarr.ingest(tmp_path / "scan.dm4", tmp_path / "scan.zarr")
    code = next(
        c
        for c in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        if "LightningDataModule" in c
    )
    names: dict[str, Any] = {}
    exec(code.split("\ntrainer =")[0], names)  # noqa: S102 - our own page
    scans = names["Scans"]([str(tmp_path / "scan.zarr")], batch_size=16)
    saving = lightning.pytorch.callbacks.ModelCheckpoint(
        dirpath=tmp_path, filename="last", every_n_train_steps=8
    )
    runs: tuple[tuple[dict[str, Any], Path | None], ...] = (
        ({"max_steps": 8, "callbacks": [saving]}, None),
        ({"max_epochs": 2, "enable_checkpointing": False}, tmp_path / "last.ckpt"),
    )
    for fields, checkpoint in runs:
        trainer = lightning.Trainer(
            **fields,
            accelerator="cpu",
            devices=2,
            strategy="ddp_fork",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            use_distributed_sampler=False,
        )
        trainer.fit(Diary(tmp_path), scans, ckpt_path=checkpoint)
    scans.setup("fit")
    every = digests_of(scans.training.fetch(range(len(scans.training))))
    lines = [
        json.loads(line)
        for file in tmp_path.glob("rank?.jsonl")
        for line in file.read_text("utf-8").splitlines()
    ]
    assert len(set(every)) > 0.9 * len(every)
    for epoch in range(2):
        seen = Counter(found for number, digests in lines if number == epoch for found in digests)
        assert seen <= Counter(every)
        # the last batch is dropped, which may not be full
        assert seen.total() == len(every) // 2 // 16 * 16 * 2
