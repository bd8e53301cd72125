"""The ledger of claims: `python scripts/claims.py [name ...]` runs what is not cached, and writes docs/claims.md.

With names, the other claims stay on the page as they are.

    --plan           count runs and minutes, and run nothing
    --page           write the page from what is cached, and run nothing
    --small          every run in miniature, with two seeds: checks the plumbing; its page stays in the cache
    --cache DIR      results, and runs under way (outputs/claims unless told otherwise)
    --processes N    runs at once (2)
    --minutes M      start nothing new after so many minutes

Every run is a real one, `python train.py ...`, in a process of its own. One that is killed goes on at the next call,
and one that fails leaves its log in DIR/runs.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from alignlab.claims.cache import Cache  # noqa: E402
from alignlab.claims.claim import names, read_claim, read_common  # noqa: E402
from alignlab.claims.page import Entry, write_page  # noqa: E402
from alignlab.claims.pictures import draw  # noqa: E402
from alignlab.claims.runner import run_jobs  # noqa: E402
from alignlab.claims.runs_of import Job, Plan  # noqa: E402
from alignlab.claims.verdict import judged  # noqa: E402
from alignlab.console import print_table  # noqa: E402
from alignlab.errors import AlignlabError  # noqa: E402

CLAIMS, PAGE = ROOT / "claims", ROOT / "docs" / "claims.md"
PICTURES = "pictures/claims"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="of claims; all unless told otherwise")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("outputs/claims"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    chosen = parser.parse_args(arguments)
    try:
        common = read_common(CLAIMS)
        plans = [Plan(read_claim(CLAIMS, name), common, chosen.small) for name in names(CLAIMS)]
        for name in chosen.names:
            read_claim(CLAIMS, name)
    except AlignlabError as error:
        sys.exit(f"error: {error}")
    cache, wanted = Cache(chosen.cache), [p for p in plans if p.claim.name in (chosen.names or names(CLAIMS))]
    if chosen.plan:
        show_plan(wanted, cache)
        return 0
    failed = 0
    if not chosen.page:
        failed = work(wanted, cache, chosen.processes, time.monotonic() + 60 * chosen.minutes)
    page = chosen.cache / "small" / "claims.md" if chosen.small else PAGE
    entries = [entry_of(plan, cache, page.parent) for plan in (wanted if chosen.small else plans)]
    write_page(page, entries, cache, () if chosen.small else chosen.names)
    title = "in miniature: no results" if chosen.small else "claims"
    print_table(title, ["", "verdict"], [[e.plan.claim.name, e.outcome.verdict] for e in entries])
    print(f"written: {page}")
    return int(failed > 0)


def show_plan(plans: Sequence[Plan], cache: Cache) -> None:
    """Runs and minutes: measured ones where there are any, else what the yaml says."""
    rows, total, minutes = [], 0, 0.0
    for plan in plans:
        jobs = [*plan.search(), *plan.judging(cache.results)]
        done = [found for job in jobs if (found := cache.read(job)) is not None]
        each = sum(one["seconds"] for one in done) / len(done) if done else plan.claim.seconds
        cost = each * plan.count() / 60
        total, minutes = total + plan.count(), minutes + cost
        rows.append([plan.claim.name, str(plan.count()), str(len(done)), f"{each:.0f}", f"{cost:.1f}"])
    rows.append(["all", str(total), "", "", f"{minutes:.1f}"])
    print_table("plan, minutes of one core", ["", "runs", "there", "seconds each", "minutes"], rows)
    print(f"two processes: {minutes / 2:.0f} minutes")


def work(plans: Sequence[Plan], cache: Cache, processes: int, until: float) -> int:
    """Run the search of a claim, and then what judges it, one claim after the other; how many runs failed."""
    import train

    failed, shared = 0, set[str]()

    def told(job: Job, seconds: float, finished: bool) -> None:
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
                train.main,
                processes=processes,
                until=until,
                told=told,
            )
    return failed


def entry_of(plan: Plan, cache: Cache, folder: Path) -> Entry:
    """A claim judged, with its pictures drawn anew."""
    outcome = judged(plan, cache.results)
    drawn = draw(plan, outcome, cache.results, folder / PICTURES)
    return Entry(plan, outcome, [f"{PICTURES}/{file.name}" for file in drawn])


if __name__ == "__main__":
    sys.exit(main())
