"""Draw the pictures of docs/lab.md from the lab itself: `python scripts/lab_pictures.py [--out docs/pictures]`.

    lab_rewards.png   exact rewards of the worst writers, the corpus, the tiny model and the best writers
    lab_length.png    reward against length: the exact one, and the one that biased labels see
    lab_kin.png       how far the responses of a list are apart, by what they are to each other
    lab_noise.png     how many pairs are labelled wrongly, by the knobs that do it

About a minute on one core, the tiny model not counted.
"""

import argparse
import os
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignlab.data.transforms.flip_noise import flip_noise
from alignlab.lab.reading import words
from alignlab.lab.reward import reward
from alignlab.lab.similar_responses import KINDS
from alignlab.lab.world import examples
from alignlab.lab.writers import corpus, write, writer
from alignlab.report.figures import finish, look, picture
from alignlab.types import Example
from alignlab.uncertainty import mean_over_rows

INCHES = (6.4, 4.2)
CACHE = os.environ.get("ALIGNLAB_CACHE", "~/.cache/alignlab")
"""Where the tiny model lies, as conf/train.yaml has it."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--rows", type=int, default=2000)
    chosen = parser.parse_args(arguments)
    for name, draw in PICTURES.items():
        with picture(chosen.out / f"lab_{name}.png", INCHES) as axes:
            draw(axes, chosen.rows)
        print(f"written: {chosen.out / f'lab_{name}.png'}")


def lists(rows: int, **knobs: Any) -> list[Example]:
    return list(examples(split="train", size=rows, **knobs))


def rewards(axes: Any, rows: int) -> None:
    """Shares of responses at or below each reward."""
    asked = [prompt for prompt, _ in corpus(rows)]
    rng = random.Random(0)
    drawn = lists(rows // 2, responses=2, on_policy=1.0, cache_dir=CACHE)
    found = {
        "worst writers (skill 0)": [reward(p, write(rng, p, writer(0.0))) for p in asked],
        "corpus (skill 0.2 to 0.8)": [reward(*pair) for pair in corpus(rows)],
        "model=tiny (on_policy=1)": [r for row in drawn for r in row.rewards or ()],
        "best writers (skill 1)": [reward(p, write(rng, p, writer(1.0))) for p in asked],
    }
    for i, (name, values) in enumerate(found.items()):
        style = {**look(i), "marker": None, "linestyle": ("-", "--", ":", "-.")[i]}
        axes.ecdf(values, label=f"{name}: mean {statistics.fmean(values):.2f}", **style)
    finish(axes, x="exact reward of a response", y="share of responses at or below it")


def lengths(axes: Any, rows: int) -> None:
    """Mean reward at each length, as exact and as biased labels see it."""
    scored = [
        (len(words(text)), value)
        for row in lists(rows)
        for text, value in zip(row.responses, row.rewards or (), strict=True)
    ]
    for i, bias in enumerate((0.0, 0.1, 0.2)):
        seen = [(length, value + bias * length) for length, value in scored]
        bins = {b: [value for length, value in seen if length // 4 == b] for b in range(1, 8)}
        kept = {4 * b + 2: values for b, values in bins.items() if len(values) > 20}
        correlation = np.corrcoef(*zip(*seen, strict=True))[0, 1]
        means = [mean_over_rows(values) for values in kept.values()]
        axes.errorbar(
            [x + 0.15 * i for x in kept],
            [mean.value for mean in means],
            yerr=[mean.half for mean in means],
            label=f"length_bias={bias:g}: correlation {correlation:+.2f}",
            capsize=2,
            **look(i),
        )
    finish(
        axes,
        x="length of the response, words (bins of 4)",
        y="mean reward that labels see, with 95 % intervals",
    )


def kinds(axes: Any, rows: int) -> None:
    """Shares of pairs at or below each word edit distance."""
    for i, kind in enumerate(KINDS):
        apart = [
            distance(words(one), words(other))
            for row in lists(rows // 4, kin=kind)
            for one, other in combinations(map(str, row.responses), 2)
        ]
        style = {**look(i), "marker": None, "linestyle": ("-", "--", ":", "-.")[i]}
        axes.ecdf(apart, label=f"kin={kind}: mean {statistics.fmean(apart):.1f} words", **style)
    finish(axes, x="edit distance of two responses of a list, words", y="share of pairs at or below it")


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Words to insert, delete or exchange."""
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, its in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != its))
    return row[-1]


def noises(axes: Any, rows: int) -> None:
    """Shares of pairs that the labels have the wrong way round, by the gap of their rewards."""
    plain = lists(rows, responses=2)
    knobs: dict[str, list[Example]] = {
        "noise=2": lists(rows, responses=2, noise=2.0),
        "length_bias=0.15": lists(rows, responses=2, length_bias=0.15),
        "flip_noise, symmetric, rate 0.3": flipped(plain, rate=0.3),
        "flip_noise, bradley_terry": flipped(plain, model="bradley_terry"),
        "flip_noise, exponential, rate 0.4": flipped(plain, model="exponential", rate=0.4, temperature=2.0),
    }
    edges = np.array([0, 1, 2, 3, 4, 6])
    for i, (name, noisy) in enumerate(knobs.items()):
        found = np.array(list(wrong(plain, noisy)))
        place = np.digitize(found[:, 0], edges) - 1
        shares = [found[place == b, 1].mean() for b in range(len(edges) - 1)]
        label = f"{name}: {found[:, 1].mean():.0%} of all"
        axes.plot((edges[:-1] + edges[1:]) / 2, shares, label=label, **look(i))
    axes.set_ylim(bottom=0)
    finish(axes, x="gap of the exact rewards, best minus worst", y="share of pairs labelled wrongly")


def flipped(rows: Sequence[Example], **settings: Any) -> list[Example]:
    return [made for row in rows for made in flip_noise(row, **settings)]


def wrong(plain: Sequence[Example], noisy: Sequence[Example]) -> Iterator[tuple[float, bool]]:
    """Gap of each list's best and worst response, and whether their labels say the contrary."""
    for row, other in zip(plain, noisy, strict=True):
        values = row.rewards or []
        best, worst = values.index(max(values)), values.index(min(values))
        yield values[best] - values[worst], other.labels[best] < other.labels[worst]


PICTURES: dict[str, Callable[[Any, int], None]] = {
    "rewards": rewards,
    "length": lengths,
    "kin": kinds,
    "noise": noises,
}


if __name__ == "__main__":
    main()
