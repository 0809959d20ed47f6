"""Training by Lightning, straight from a store."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning")

from stemzarr.testing import write_synthetic_dm4  # noqa: E402 - after what may be missing
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
