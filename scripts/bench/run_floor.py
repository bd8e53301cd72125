"""The floor: bare forward and backward over each token once, the head where a response is predicted, one update.

`python -m bench.run_floor SPEC.json`. The tokens of a group of lists stand in as many rows as there are lists,
cut anywhere: causal attention without a mask, no padding, one pass of the head. It computes no objective; nothing
that trains on the same tokens with the same parts of torch can do with less.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from bench.cases import LR
from bench.events import Events


def groups(rows: list[dict[str, Any]], budget: int) -> Iterator[list[dict[str, Any]]]:
    """Lists in groups of at most that many tokens."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        tokens = len(row["prompt_ids"]) + sum(map(len, row["responses"]))
        if group and size + tokens > budget:
            yield group
            group, size = [], 0
        group.append(row)
        size += tokens
    yield group


def packed(group: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Tokens in a row a list, and the places of response tokens among them."""
    tokens: list[int] = []
    answers: list[int] = []
    for row in group:
        tokens += row["prompt_ids"]
        for response in row["responses"]:
            answers += range(len(tokens), len(tokens) + len(response))
            tokens += response
    width = -(-len(tokens) // len(group))
    tokens += [0] * (width * len(group) - len(tokens))
    return torch.tensor(tokens).view(len(group), width), torch.tensor(answers)


def main(spec: dict[str, Any]) -> None:
    device = spec["device"]
    model = AutoModelForCausalLM.from_pretrained(spec["model"], dtype=torch.float32).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0, fused=True)
    rows = [json.loads(line) for line in Path(spec["rows"]).read_text().splitlines()]
    events, size = Events(spec["log"], device), spec["lists_per_step"]
    events.ready()
    for start in range(0, len(rows), size):
        lists, total = rows[start : start + size], 0.0
        for group in groups(lists, spec["tokens"]):
            tokens, answers = (part.to(device) for part in packed(group))
            with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
                hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state.flatten(0, 1)
                logits = model.lm_head(hidden[answers - 1]).float()
            logps = logits.gather(-1, tokens.flatten()[answers, None]).squeeze(-1) - logits.logsumexp(-1)
            loss = -logps.sum() / 1000
            loss.backward()
            total += loss.item()
            del hidden, logits, logps, loss
        optimizer.step()
        optimizer.zero_grad()
        events.step(len(lists), total)
    events.done()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
