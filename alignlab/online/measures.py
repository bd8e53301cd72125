"""What a draw was like: rewards, lengths, ends, variety, what was dropped, and how long it took."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from alignlab.online.listed import Listed
from alignlab.online.written import Drawn


def staleness(lists: Sequence[Listed], step: int) -> dict[str, float]:
    """Return how many optimizer steps the weights are ahead of those that drew the lists of a step: mean and most."""
    ages = [step - one.rollout.version for one in lists]
    return {"staleness": statistics.fmean(ages), "staleness_max": float(max(ages))}


def measures(drawn: Drawn, seconds: Mapping[str, float], elapsed: float) -> dict[str, float]:
    """Return metrics of a draw, by name; `seconds` are those of its parts.

    `reward` is the mean of the judge's rewards, `best` that of each list's best, `gold` that of exact ones; `length` is
    in tokens; `entropy` is minus the mean log-probability of a drawn token, in nats, an unbiased estimate; `distinct`
    is the share of distinct responses, `distinct_2` that of distinct pairs of neighbouring words among all of them;
    `dropped` and `dropped/<reason>` are shares of the lists, `tied` that of lists with equal labels among those that
    are trained on.
    """
    lists = drawn.lists
    texts = [text for one in lists for text in one.texts]
    tokens = [values for one in lists for values in one.rollout.token_logps]
    count = sum(map(len, tokens))
    neighbours = [pair for text in texts for pair in pairwise(text.split())]
    metrics = {
        "length": count / len(tokens),
        "finished": statistics.fmean(ended for one in lists for ended in one.rollout.finished),
        "entropy": -sum(float(values.sum()) for values in tokens) / max(1, count),
        "distinct": len({*texts}) / len(texts),
        "distinct_2": len({*neighbours}) / max(1, len(neighbours)),
        "dropped": 1 - len(drawn.trained) / len(lists),
        "tied": statistics.fmean(len(one.labels) > len({*one.labels}) == 1 for one in drawn.trained),
        "prompts": float(drawn.after),
    }
    rewards = [[r for r in one.judged.rewards or () if r is not None] for one in lists]
    if any(rewards):
        metrics["reward"] = statistics.fmean(r for own in rewards for r in own)
        metrics["best"] = statistics.fmean(max(own) for own in rewards if own)
    if gold := [value for one in lists for value in one.gold or ()]:
        metrics["gold"] = statistics.fmean(gold)
    names = {name for one in lists for name in one.judged.aspects}
    for name in sorted(names):
        values = [v for one in lists for v in one.judged.aspects.get(name, ()) if v is not None]
        metrics[f"aspects/{name}"] = statistics.fmean(values) if values else 0.0
    for reason, times in Counter(one.dropped for one in lists if one.dropped).items():
        metrics[f"dropped/{reason.replace(' ', '_')}"] = times / len(lists)
    metrics |= {f"seconds/{name}": value for name, value in seconds.items()}
    if seconds.get("draw"):
        metrics["tokens_per_second"] = count / seconds["draw"]
    return metrics | {"seconds/all": elapsed}
