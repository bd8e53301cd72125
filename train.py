"""Train: `python train.py objective=dpo data=lab key=value ...` (see README.md)."""

import hydra
from omegaconf import DictConfig

from alignlab.config.cli import job, launch


@hydra.main(version_base=None, config_path="pkg://alignlab.conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """One run."""
    return job(cfg)


if __name__ == "__main__":
    launch(main)
