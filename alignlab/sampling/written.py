"""A file of drawn responses that grows a line a prompt, and goes on where it was broken off."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.console import tracked
from alignlab.errors import DataError
from alignlab.policies.weights import weights_hash
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling


def write(
    file: Path, sampler: InProcess, prompts: Sequence[Prompt], n: int, how: Sampling, tokenizer: Any
) -> int:
    """Draw `n` responses for each prompt into a file of JSON lines; returns how many prompts it held before.

    Every line says what it was drawn with, the weights by their hash. A last line that is not whole is drawn again.
    Raises DataError for a file that holds something else than the first of these prompts, drawn in the same way.
    """
    weights = weights_hash(sampler.model)[:16]
    drawn = f"{how.name}; {n} of at most {how.max_new_tokens} tokens; weights {weights}"
    begun = _whole_lines(file)
    for number, line in enumerate(begun):
        asked = prompts[number].id if number < len(prompts) else "no prompt"
        if (line.get("drawn"), line.get("id")) != (drawn, asked):
            raise DataError(
                f"{file}: line {number + 1} has row {line.get('id')}, drawn with {line.get('drawn')}, and this command "
                f"draws {asked} with {drawn}: name another out=, or remove the file"
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        file.open("a", encoding="utf-8") as out,
        tracked("prompts answered", len(prompts) - len(begun)) as advance,
    ):

        def tell(rollout: Rollout) -> None:
            out.write(json.dumps({**_line(rollout, tokenizer), "drawn": drawn}) + "\n")
            out.flush()
            os.fsync(out.fileno())
            advance(1)

        sampler.draw(prompts[len(begun) :], n, how, tell=tell)
    return len(begun)


def _line(rollout: Rollout, tokenizer: Any) -> Mapping[str, Any]:
    """A rollout as plain values; texts are for people, ids are what was drawn."""
    return {
        "id": rollout.id,
        "prompt": str(tokenizer.decode(rollout.prompt_ids)),
        "responses": [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in rollout.responses],
        "finished": list(rollout.finished),
        "prompt_ids": rollout.prompt_ids.tolist(),
        "response_ids": [ids.tolist() for ids in rollout.responses],
        "token_logps": [[round(float(value), 6) for value in values] for values in rollout.token_logps],
    }


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a file that are whole; what stands behind them is cut off.

    Raises DataError where a line before the last is none of this file's kind.
    """
    if not file.is_file():
        return []
    lines, end = [], 0
    with file.open("rb+") as stream:
        for number, text in enumerate(stream):
            if not text.endswith(b"\n"):
                break
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if not isinstance(line, dict):
                raise DataError(f"{file}: line {number + 1} is no line of drawn responses: name another out=")
            lines.append(line)
            end += len(text)
        stream.truncate(end)
    return lines
