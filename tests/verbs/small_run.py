"""A run folder without the training: a small model of the lab, and a changed copy of it as what was trained."""

import torch
from omegaconf import OmegaConf

from alignlab.assembly.build import call
from alignlab.config.stage_of import train_config
from alignlab.runs.folder import RunFolder

MODEL = ["model.loader.hidden_size=16", "model.loader.layers=1", "model.loader.steps=2"]


def make_run(path, *overrides):
    """The folder, with config.yaml, overrides.txt and model/."""
    given = [*MODEL, f"cache_dir={path.parent / 'cache'}", "data.limit=20", "data.limit_validation=12"]
    given += overrides
    config = train_config(given)
    folder = RunFolder(path)
    folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    folder.write_text("overrides.txt", "".join(f"{text}\n" for text in given))
    folder.write_json("summary.json", {"status": "finished"})
    model, tokenizer = call(config["model"]["loader"], "model.loader")()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder.model)
    tokenizer.save_pretrained(folder.model)
    return path
