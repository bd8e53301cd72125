"""The ledger of claims of papers: runs what is not cached, and writes docs/claims.md.

alignlab claims                   all of claims/*.yaml
alignlab claims lipo_lists        one claim, or several; the others stay on the page as they are
alignlab claims plan=true         runs and minutes, and run nothing

    plan=false       true: count runs and minutes, and run nothing
    page=false       true: write the page from what is cached, and run nothing
    small=false      true: every run in miniature, with two seeds: checks the plumbing; its page stays in the cache
    cache=DIR        results, and runs under way (outputs/claims unless told otherwise)
    processes=2      runs at once
    minutes=M        start nothing new after so many minutes

Every run is a real one, as `alignlab train ...`, in a process of its own. One that is killed goes on at the next call,
and one that fails leaves its log in DIR/runs.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from alignlab.claims.cache import Cache
from alignlab.claims.claim import names, read_claim, read_common
from alignlab.claims.page import Entry, write_page
from alignlab.claims.pictures import draw
from alignlab.claims.runner import run_jobs
from alignlab.claims.runs_of import Job, Plan
from alignlab.claims.verdict import judged
from alignlab.console import print_table
from alignlab.errors import ConfigError
from alignlab.places import PACKAGE
from alignlab.verbs.words import flag, number, path, read, whole

CLAIMS, PAGE = PACKAGE.parent / "claims", PACKAGE.parent / "docs" / "claims.md"
PICTURES = "pictures/claims"
KEYS = {
    "plan": flag(False),
    "page": flag(False),
    "small": flag(False),
    "cache": path(Path("outputs/claims")),
    "processes": whole(2),
    "minutes": number(math.inf),
}


def run(words: Sequence[str]) -> int:
    """Train the runs that are missing, and write the page of claims; returns 1 where a run failed."""
    if not CLAIMS.is_dir():
        raise ConfigError(f"the claims are in a checkout of alignlab: there is no {CLAIMS}")
    typed = read(words, KEYS, names=len(names(CLAIMS)))
    own, common = typed.own, read_common(CLAIMS)
    plans = [Plan(read_claim(CLAIMS, name), common, own.small) for name in names(CLAIMS)]
    for name in typed.names:
        read_claim(CLAIMS, name)
    wanted = [plan for plan in plans if plan.claim.name in (typed.names or names(CLAIMS))]
    cache = Cache(own.cache)
    if own.plan:
        _show_plan(wanted, cache)
        return 0
    failed = 0
    if not own.page:
        failed = _work(wanted, cache, own.processes, time.monotonic() + 60 * own.minutes)
    page = own.cache / "small" / "claims.md" if own.small else PAGE
    entries = [_entry_of(plan, cache, page.parent) for plan in (wanted if own.small else plans)]
    write_page(page, entries, cache, () if own.small else typed.names)
    title = "in miniature: no results" if own.small else "claims"
    print_table(title, ["", "verdict"], [[e.plan.claim.name, e.outcome.verdict] for e in entries])
    print(f"written: {page}")
    return int(failed > 0)


def _show_plan(plans: Sequence[Plan], cache: Cache) -> None:
    """Print the runs and minutes of each claim: measured minutes where there are any, else those of its yaml."""
    rows, total, minutes = [], 0, 0.0
    for plan in plans:
        jobs = [*plan.search(), *plan.judging(cache.results)]
        done = [result for job in jobs if (result := cache.read(job)) is not None]
        each = sum(one["seconds"] for one in done) / len(done) if done else plan.claim.seconds
        cost = each * plan.count() / 60
        total, minutes = total + plan.count(), minutes + cost
        rows.append([plan.claim.name, str(plan.count()), str(len(done)), f"{each:.0f}", f"{cost:.1f}"])
    rows.append(["all", str(total), "", "", f"{minutes:.1f}"])
    print_table("plan, minutes of one core", ["", "runs", "there", "seconds each", "minutes"], rows)
    print(f"two processes: {minutes / 2:.0f} minutes")


def _work(plans: Sequence[Plan], cache: Cache, processes: int, until: float) -> int:
    """Run the search of a claim, then what judges it, claim after claim; returns the number of failed runs."""
    from alignlab.verbs.train import main

    failed, shared = 0, set[str]()

    def report(job: Job, seconds: float, finished: bool) -> None:
        nonlocal failed
        failed += not finished
        state = "" if finished else f" FAILED: {cache.run(job).with_suffix('.log')}"
        own = [text for text in job.overrides if text not in shared]
        print(f"  {seconds:5.1f} s  {' '.join(own)}{state}", flush=True)

    for plan in plans:
        shared = {*plan.common.runs, *plan.common.small, *plan.claim.runs}
        print(f"{plan.claim.name}: {plan.count()} runs", flush=True)
        for jobs in (plan.search(), None):
            run_jobs(
                plan.judging(cache.results) if jobs is None else jobs,
                cache,
                main,
                processes=processes,
                until=until,
                told=report,
            )
    return failed


def _entry_of(plan: Plan, cache: Cache, folder: Path) -> Entry:
    """Judge a claim, and draw its pictures anew."""
    outcome = judged(plan, cache.results)
    drawn = draw(plan, outcome, cache.results, folder / PICTURES)
    return Entry(plan, outcome, [f"{PICTURES}/{file.name}" for file in drawn])
