"""Online preference optimization, all of it, in a loop of one's own: draw, judge, train, again.

    python examples/online_loop.py outputs/dpo-lab/2026-11-21_11-42-54/model

The folder holds a language model with its tokenizer. Prompts and rewards here are those of the embedded world.
"""

import sys
from collections.abc import Callable, Iterator, Sequence

import torch

import alignlab
from alignlab.lab.reward import gold
from alignlab.lab.world import examples


def online(
    folder: str,
    prompts: Sequence[str],
    reward: Callable[[str, str], float],
    *,
    objective: str = "dpo",
    steps: int = 60,
    prompts_per_step: int = 16,
    responses: int = 4,
    lr: float = 3e-4,
    seed: int = 0,
) -> Iterator[tuple[float, float, float]]:
    """Train the policy of a folder on its own responses; yields loss, mean reward, and KL to the start of each step."""
    policy, reference = alignlab.load_policy(folder), alignlab.load_policy(folder)
    reference.policy.requires_grad_(False)
    loss_of = alignlab.load_objective(objective)
    optimizer = torch.optim.AdamW(policy.policy.parameters(), lr=lr, weight_decay=0.0)
    sampler = alignlab.InProcess(policy.policy.model, sorted(policy.encoder.stops))
    how = alignlab.Sampling(max_new_tokens=64, seed=seed)

    for step in range(steps):
        # 1. some prompts, in their order; each with an id of its own, which keys the noise of its responses
        places = [(step * prompts_per_step + i) % len(prompts) for i in range(prompts_per_step)]
        asked = [
            alignlab.Prompt(f"{step}/{i}", policy.encoder.prompt_ids([turn(prompts[place])]))
            for i, place in enumerate(places)
        ]
        # 2. the policy as it is now answers
        rollouts = sampler.draw(asked, responses, how)
        # 3. a judge says which answer is better: [prompts, responses], larger is better
        texts = [policy.tokenizer.batch_decode(one.responses, skip_special_tokens=True) for one in rollouts]
        rewards = torch.tensor(
            [[reward(prompts[place], text) for text in row] for place, row in zip(places, texts, strict=True)]
        )
        # 4. policy and reference score the very tokens that were drawn, each prompt read once
        batch = alignlab.batch_of(rollouts)
        signals = policy.policy.signals(batch, (reference.policy, ()), loss_of.signals)
        # 5. the objective chooses its pairs by the labels (DPO: best and worst), and gives the loss
        outcome = loss_of(**signals, labels=rewards, where=batch.where)
        outcome.loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.policy.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        kl = (signals["logps"] - signals["ref_logps"]).mean()
        yield outcome.loss.item(), rewards.mean().item(), kl.item()


def turn(text: str) -> dict[str, str]:
    """A prompt as the one turn of a conversation."""
    return {"role": "user", "content": text}


if __name__ == "__main__":
    asks = [row.prompt[-1]["content"] for row in examples(split="train", size=1000)]
    for number, (loss, mean, kl) in enumerate(online(sys.argv[1], asks, lambda p, r: gold(p, r).reward), 1):
        print(f"step {number}  loss {loss:.4f}  reward {mean:.3f}  KL {kl:.3f}")
