"""Train: `python train.py objective=dpo data=lab key=value ...` (see README.md)."""

import hydra
from omegaconf import DictConfig

from alignlab.launch.cli import job, launch
from alignlab.places import CONF


@hydra.main(version_base=None, config_path=str(CONF), config_name="train")
def main(cfg: DictConfig) -> float:
    """One run."""
    return job(cfg)


if __name__ == "__main__":
    launch(main)
