"""Tokens a CPU second of the sampler, beside left-padded `generate` and the bare decoder steps of as many tokens.

python scripts/bench_sampler.py --model DIR --samples 4          # a model with its tokenizer, on short questions
python scripts/bench_sampler.py --samples 8 --prompt 256         # 17 M random weights, on random prompts

All contenders have as many rows at once, the same prompts and the same largest length, in float32 on one thread, and
take turns. `floor` steps through as many tokens behind prompts that are read beforehand, with all rows to the end, and
draws nothing. `ends` does the same with rows that leave where the drawn ones ended: few rows cost a model nearly what
many do. `kl` is one pass of a model over the responses drawn.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig

from alignlab.data.encoding.tokenize import Encoder
from alignlab.sampling.context import Context, Reader
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.loop import ENDED
from alignlab.sampling.rollout import Prompt
from alignlab.sampling.scored import token_logps
from alignlab.sampling.settings import Sampling

QUESTIONS = (
    "What is the capital of France, and what is it known for?",
    "Write a haiku about the sea in winter, please.",
    "How do I sort a list in Python by the second element of each tuple?",
    "Tell me a short story of a fox and a crow who were friends.",
)
SMALL = LlamaConfig(
    vocab_size=8192,
    hidden_size=384,
    intermediate_size=1024,
    num_hidden_layers=6,
    num_attention_heads=6,
    max_position_embeddings=1024,
    eos_token_id=2,
    pad_token_id=0,
)


def opened(args: argparse.Namespace) -> tuple[Any, list[list[int]], int]:
    """Model, prompts, and the token that ends a response."""
    if args.model is None:
        torch.manual_seed(0)
        rng = random.Random(0)
        ids = [[rng.randrange(3, 8192) for _ in range(args.prompt)] for _ in range(args.prompts)]
        return AutoModelForCausalLM.from_config(SMALL).eval(), ids, 2
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    encoder = Encoder(tokenizer)
    asked = [[{"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]}] for i in range(args.prompts)]
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    return model, [encoder.prompt_ids(turns) for turns in asked], int(tokenizer.eos_token_id)


def generated(model: Any, ids: list[list[int]], end: int, args: argparse.Namespace) -> int:
    count, together = 0, max(1, args.rows // args.samples)
    plan = GenerationConfig(
        do_sample=True,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        max_new_tokens=args.new_tokens,
        num_return_sequences=args.samples,
        pad_token_id=end,
        eos_token_id=end,
    )
    torch.manual_seed(0)
    for start in range(0, len(ids), together):
        some = ids[start : start + together]
        width = max(map(len, some))
        tokens = torch.tensor([[end] * (width - len(row)) + row for row in some])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in some])
        out = model.generate(tokens, attention_mask=mask, generation_config=plan)[:, width:].tolist()
        count += sum(row.index(end) + 1 if end in row else len(row) for row in out)
    return count


def floor(model: Any, ids: list[list[int]], total: int, args: argparse.Namespace) -> tuple[int, float]:
    """Tokens and CPU seconds of bare steps: a token of each row at a time."""
    reader, rows = Reader(model), min(args.rows, len(ids) * args.samples)
    context = Context.of(reader, [ids[i % len(ids)] for i in range(rows)])
    steps = max(1, min(total // rows, args.new_tokens))
    began = time.process_time()
    for _ in range(steps):
        context.advance(context.logits.argmax(-1))
    return steps * rows, time.process_time() - began


def ends(model: Any, ids: list[list[int]], lengths: list[int], args: argparse.Namespace) -> tuple[int, float]:
    """Tokens and CPU seconds of bare steps of rows that leave as the sampler takes them out."""
    lengths = lengths[: args.rows]
    context = Context.of(Reader(model), [ids[i // args.samples] for i in range(len(lengths))])
    count, step, began = sum(lengths), 0, time.process_time()
    while lengths:
        context.advance(context.logits.argmax(-1))
        step += 1
        left = [i for i, length in enumerate(lengths) if length > step]
        if len(lengths) - len(left) >= max(1, len(lengths) // ENDED):
            lengths = [lengths[i] for i in left]
            if left:
                context.select(torch.tensor(left))
    return count, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    for name, default in {
        "prompts": 4,
        "samples": 4,
        "rows": 64,
        "new-tokens": 64,
        "prompt": 256,
        "rounds": 3,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, ids, end = opened(args)
    sampler, how = InProcess(model, [end], rows=args.rows), Sampling(max_new_tokens=args.new_tokens)
    prompts = [Prompt(str(i), row) for i, row in enumerate(ids)]
    with torch.no_grad():
        drawn = sampler.draw(prompts, args.samples, how)
        lengths = [len(ids) for rollout in drawn for ids in rollout.responses]
        total = sum(lengths)

        def timed(work: Callable[[], Any]) -> tuple[int, float]:
            began = time.process_time()
            count = work()
            return (count if isinstance(count, int) else total), time.process_time() - began

        speeds: dict[str, list[float]] = {}
        for _ in range(args.rounds):
            for name, (count, seconds) in {
                "generate": timed(lambda: generated(model, ids, end, args)),
                "alignlab": timed(lambda: sampler.draw(prompts, args.samples, how)),
                "floor": floor(model, ids, total, args),
                "ends": ends(model, ids, lengths, args),
                "kl": timed(lambda: token_logps(model, drawn)),
            }.items():
                speeds.setdefault(name, []).append(count / seconds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(
        f"{len(ids)} prompts x {args.samples}, {args.rows} rows, at most {args.new_tokens} tokens; {total} drawn"
    )
    for name, value in medians.items():
        print(
            f"{name:9} {value:8.1f} tokens a CPU second ({', '.join(f'{one:.1f}' for one in speeds[name])})"
        )
    ours = medians["alignlab"]
    ratios = {name: ours / medians[name] for name in ("generate", "floor", "ends")}
    print(*(f"alignlab / {name} {ratio:.2f}" for name, ratio in ratios.items()), sep=", ", end=", ")
    print(f"drawing with kl / drawing {1 + ours / medians['kl']:.2f}")


if __name__ == "__main__":
    main()
