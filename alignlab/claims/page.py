"""docs/claims.md: the ledger as a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from alignlab.claims.cache import Cache, code
from alignlab.claims.runs_of import Job, Metrics, Plan, Results
from alignlab.claims.verdict import FAILS, HOLDS, NOT_RUN, Finding, Outcome

INTRODUCTION = """# Claims

<!-- written by `alignlab claims` from claims/*.yaml and the results of runs; do not edit -->

What papers say of their objectives and recipes, tried on the [embedded world](lab.md), where the reward is exact. A
claim is a yaml of `claims/`: arms (overrides of `train.py`), the metric compared, the direction expected, and the
margin below which an effect does not matter, all fixed before running. It says something about this world and this
size of model, and about nothing else.

```bash
make claims                                 # run what is not cached, and write this page
alignlab claims lipo_lists       # one claim
alignlab claims plan=true        # runs and minutes
alignlab claims small=true       # every claim in miniature: the plumbing, no result
```

"""
SHOWN = {"gold/reward": "gold reward", "gold/kl": "KL, nats", "gold/length": "tokens"}
"""The metrics that stand beside every arm, as means over the seeds."""
HEADER = """\
| claim | effect | 95 % interval | verdict | minutes | plot |
|---|---:|---:|---|---:|---|"""
RULE = """## How it is judged

Every arm runs on {seeds} seeds, and differences are paired over them: arms with the same data have the same rows and
prompts at a seed. With d the mean difference in the direction expected, and m the margin, the least that matters:

| expected | holds | does not hold |
|---|---|---|
| more (less: of the negated difference) | d > 0 | d < m: an effect that would matter is ruled out |
| no less | d > -m | d < -m |
| equal | -m < d < m | d > m or d < -m |

Each is a one-sided t test at 0.025, in agreement with the 95 % intervals shown, Holm-corrected over the comparisons of
the claim; what holds is not asked whether it does not. A claim holds where all of its comparisons do, and does not
where one of them does not; whatever is in between is *not separable here*. A claim that does not hold stays, with what
was tried.

Settings are searched before, with the same few values for every arm, on {tuning} seeds that judge nothing; the best
mean is taken. Where a claim has no search, all arms have the same settings. All runs share `claims/common.yaml`. Beside
every arm stand what its answers came to, as means over the seeds that judge: gold reward, KL to the start, and length.
"""


@dataclass(frozen=True)
class Entry:
    """A claim, what its runs said, and its pictures, relative to the page."""

    plan: Plan
    outcome: Outcome
    pictures: Sequence[str]

    @property
    def title(self) -> str:
        """The title of the claim on the page."""
        return _words(self.plan.claim.name)


def page(entries: Sequence[Entry], cache: Cache, before: str = "", renewed: Sequence[str] = ()) -> str:
    """The whole page. With names in `renewed` all other claims stay as they are on the page `before`."""
    rows, sections = _parts(before) if renewed else ({}, {})
    unchanged = {entry.title for entry in entries if entry.plan.claim.name not in renewed} & rows.keys()
    common = entries[0].plan.common
    rule = RULE.format(seeds=len(common.seeds), tuning=len(common.tuning_seeds))
    table = [rows[entry.title] if entry.title in unchanged else _row(entry, cache) for entry in entries]
    lines = [INTRODUCTION + HEADER, *table, "", _note(entries, cache, table), "", rule]
    for entry in entries:
        lines += [sections[entry.title]] if entry.title in unchanged else _section(entry, cache)
    return "\n".join(lines).rstrip() + "\n"


def write_page(file: Path, entries: Sequence[Entry], cache: Cache, renewed: Sequence[str] = ()) -> None:
    """Write the page; claims that were not asked for stay on it as they are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    file.write_text(page(entries, cache, before, renewed), encoding="utf-8")


def _parts(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Rows of the table and sections of a page, by their titles."""
    rows = {line[3 : line.index("](")]: line for line in text.splitlines() if line.startswith("| [")}
    sections = [f"## {part.rstrip()}\n" for part in text.split("\n## ")[1:]]
    return rows, {section[3 : section.index("\n")]: section for section in sections}


def _row(entry: Entry, cache: Cache) -> str:
    claim, findings = entry.plan.claim, entry.outcome.findings
    effect, interval = (_effect(findings[0]), _interval(findings[0])) if findings else ("", "")
    plot = f"[plot]({entry.pictures[0]})" if entry.pictures else ""
    minutes = _minutes(entry.plan, cache)
    cost = f"{minutes:.1f}" if minutes else ""
    link = f"[{entry.title}](#{entry.title.replace(' ', '-')}): {claim.claim}"
    return f"| {link} | {effect} | {interval} | {_verdict(entry.outcome)} | {cost} | {plot} |"


def _verdict(outcome: Outcome) -> str:
    """The verdict on a claim, with how many of its comparisons hold where not all of several do."""
    count = len(outcome.findings)
    if count < 2 or outcome.verdict == HOLDS:
        return outcome.verdict
    holding = sum(finding.verdict == HOLDS for finding in outcome.findings)
    return f"{outcome.verdict} ({holding} of its {count} comparisons do)"


def _note(entries: Sequence[Entry], cache: Cache, table: Sequence[str]) -> str:
    note = "Effect and interval are those of a claim's first comparison; minutes are of one core, all runs together."
    minutes = [row.split("|")[-3].strip() for row in table]
    if all(minutes):
        note += f" The whole ledger took {sum(map(float, minutes)):.0f}."
    results = {job.key: cache.read(job) for entry in entries for job in _jobs(entry.plan, cache)}
    if stale := sum(result["code"] != code() for result in results.values() if result is not None):
        note += f" {stale} of these runs are of an earlier state of the code."
    return note


def _section(entry: Entry, cache: Cache) -> Iterator[str]:
    plan, claim, outcome = entry.plan, entry.plan.claim, entry.outcome
    yield f"## {entry.title}\n"
    yield f"{claim.claim} ({claim.paper}). **{_verdict(outcome)}**\n"
    if outcome.verdict == NOT_RUN:
        done = sum(cache.read(job) is not None for job in _jobs(plan, cache))
        yield f"Of {plan.count()} runs {done} are there. What will decide:\n"
        yield "| comparison | expected | margin |\n|---|---|---:|"
        for comparison in claim.comparisons:
            yield f"| {comparison.title} | {_words(comparison.expect)} | {comparison.margin:g} |"
    else:
        yield "| | comparison | expected | margin | effect | 95 % interval | p | verdict |"
        yield "|---|---|---|---:|---:|---:|---:|---|"
        for place, finding in enumerate(outcome.findings, start=1):
            c = finding.comparison
            cells = [place, c.title, _words(c.expect), f"{c.margin:g}"]
            cells += [_effect(finding), _interval(finding), f"{finding.p_holds:.2g}", finding.verdict]
            yield f"| {' | '.join(map(str, cells))} |"
    yield ""
    yield from _settings(plan, cache.results)
    if outcome.verdict == FAILS:
        yield "What was tried: " + ("; ".join(claim.tried) or "nothing beyond this.") + "\n"
    for file in entry.pictures:
        yield f"![{entry.title}]({file})\n"


def _settings(plan: Plan, results: Results) -> Iterator[str]:
    """Lines that say what every arm is, which value its search found, and its metrics."""
    claim, search, chosen = plan.claim, plan.claim.search, plan.chosen(results)
    if claim.runs:
        yield f"All arms: `{' '.join(claim.runs)}`\n"
    if search:
        values = ", ".join(f"{value:g}" for value in search.values)
        count = len(plan.values) * len(plan.tuning_seeds)
        yield f"Searched for every arm: `{search.key}` of {values}, by {search.by}, {count} runs an arm.\n"
        if at_ends := [_words(name) for name in plan.tuned() if chosen.get(name) in _ends(search.values)]:
            yield f"At an end of these values, so that more might be better: {', '.join(at_ends)}.\n"
    titles = ["arm", "overrides", *([search.key] if search else []), *SHOWN.values()]
    yield f"| {' | '.join(titles)} |"
    yield f"|---|---|{'---:|' * (len(titles) - 2)}"
    for name, arm in claim.arms.items():
        value = chosen.get(name)
        best = "" if value is None else f"{value:g}"
        as_other = f" (as {_words(arm.tuned_as)})" if arm.tuned_as else ""
        jobs = plan.of_arm(name, value) if name in chosen else []
        means = _means([results(job) or {} for job in jobs])
        line = f"`{' '.join(arm.runs)}`".replace("|", "\\|") if arm.runs else ""
        cells = [_words(name), line, *([f"{best}{as_other}"] if search else []), *means]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _means(runs: Sequence[Metrics]) -> list[str]:
    """The metrics of an arm as means over the seeds, each empty while a run lacks it."""
    known = [bool(runs) and all(name in run for run in runs) for name in SHOWN]
    return [
        f"{fmean(run[name] for run in runs):.3g}" if there else ""
        for name, there in zip(SHOWN, known, strict=True)
    ]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _effect(finding: Finding) -> str:
    return f"{finding.mean:+.3g}"


def _interval(finding: Finding) -> str:
    return f"{finding.mean - finding.half:+.3g} to {finding.mean + finding.half:+.3g}"


def _jobs(plan: Plan, cache: Cache) -> list[Job]:
    return [*plan.search(), *plan.judging(cache.results)]


def _minutes(plan: Plan, cache: Cache) -> float:
    results = [cache.read(job) for job in _jobs(plan, cache)]
    return sum(result["seconds"] for result in results if result is not None) / 60
