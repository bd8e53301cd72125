"""A file of drawn responses that grows a line a prompt, and goes on where it was broken off."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from alignlab.console import tracked
from alignlab.errors import DataError
from alignlab.sampling.generator import Generator
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling

BEGIN = b'{"id": '
"""What every line begins with, and so half of one."""


def write(
    file: Path, sampler: Generator, prompts: Sequence[Prompt], n: int, how: Sampling, tokenizer: Any
) -> int:
    """Draw `n` responses for each prompt into a file of JSON lines; returns how many prompts it held before.

    Every line says what it was drawn with, the weights by their hash. A last line that is not whole is drawn again.
    Raises DataError, and leaves the file as it is, where it holds something else than the first of these prompts, drawn
    in the same way, or where another process writes it.
    """
    drawn = f"{how.name}; {n} of at most {how.max_new_tokens} tokens; {sampler.weights()}"
    file.parent.mkdir(parents=True, exist_ok=True)
    with _held(file) as out:
        begun, end = _whole_lines(file)
        for number, line in enumerate(begun):
            _require_same(
                line, prompts[number] if number < len(prompts) else None, drawn, f"{file}: line {number + 1}"
            )
        out.truncate(end)
        with tracked("prompts answered", len(prompts) - len(begun)) as advance:

            def tell(rollout: Rollout) -> None:
                out.write(json.dumps({**_line(rollout, tokenizer), "drawn": drawn}) + "\n")
                out.flush()
                os.fsync(out.fileno())
                advance(1)

            sampler.draw(prompts[len(begun) :], n, how, tell=tell)
    return len(begun)


@contextmanager
def _held(file: Path) -> Iterator[TextIO]:
    """Open a file to be written behind what it holds, by this process alone; raises DataError where that cannot be."""
    try:
        out = file.open("a", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror}): name another out=") from error
    with out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{file}: another process writes it: name another out=, or wait") from None
        except OSError:  # a file system without locks
            pass
        yield out


def _require_same(line: Mapping[str, Any], prompt: Prompt | None, drawn: str, where: str) -> None:
    """Raise DataError where a line answers another prompt than this, or was drawn in another way."""
    asked = prompt.id if prompt is not None else "no prompt"
    if (line.get("drawn"), line.get("id")) != (drawn, asked):
        raise DataError(
            f"{where} has row {line.get('id')}, drawn with {line.get('drawn')}, and this command draws {asked} with "
            f"{drawn}: name another out=, or remove the file"
        )
    if prompt is not None and line.get("prompt_ids") != [*prompt.ids]:
        raise DataError(
            f"{where} answers row {asked} as another prompt than this command has (the text, the chat template or its "
            "truncation is another): name another out=, or remove the file"
        )


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


def _whole_lines(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a file that are whole, and how many bytes they take; what stands behind them is half a line.

    Raises DataError where a line, or the half of one, is none of this file's kind.
    """
    lines, end = [], 0
    with file.open("rb") as stream:
        for number, text in enumerate(stream):
            is_half = not text.endswith(b"\n")
            line = None if is_half else _parsed(text)
            if not (text.startswith(BEGIN) or BEGIN.startswith(text) if is_half else isinstance(line, dict)):
                raise DataError(f"{file}: line {number + 1} is no line of drawn responses: name another out=")
            if line is not None:
                lines.append(line)
                end += len(text)
    return lines, end


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
