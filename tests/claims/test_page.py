"""The page: what ran, with its numbers and pictures; what did not, without any."""

from alignlab.claims.cache import Cache, code
from alignlab.claims.page import Entry, page
from alignlab.claims.pictures import draw
from alignlab.claims.verdict import judged
from tests.claims.made import plan_of, results_of

OURS, THEIRS = [1.5, 1.6, 1.4, 1.5, 1.5], [1.0, 1.1, 1.0, 0.9, 1.0]


def cached(tmp_path, plan, by_arm):
    cache, results = Cache(tmp_path), results_of(plan, by_arm)
    for job in plan.search():
        cache.write(job, results(job), 30.0)
    for job in plan.judging(results):
        if results(job):
            cache.write(job, results(job), 30.0)
    return cache


def entry_of(tmp_path, plan, cache):
    outcome = judged(plan, cache.results)
    return Entry(plan, outcome, [file.name for file in draw(plan, outcome, cache.results, tmp_path)])


def test_a_claim_that_was_not_run_has_no_numbers(tmp_path):
    plan, cache = plan_of(), Cache(tmp_path)
    text = page([entry_of(tmp_path, plan, cache)], cache)
    assert "| not run yet |  |  |" in text
    assert "Of 18 runs 0 are there" in text
    assert "| gold/reward: ours against theirs | more | 0.2 |" in text
    assert not list(tmp_path.glob("*.png"))


def test_a_claim_that_holds(tmp_path):
    plan = plan_of()
    cache = cached(tmp_path, plan, {"ours": OURS, "theirs": THEIRS})
    text = page([entry_of(tmp_path, plan, cache)], cache)
    assert "| +0.5 | +0.412 to +0.588 | holds | 9.0 | [plot](made_up.png) |" in text
    assert "`optimizer.lr` of 0.1, 0.2, by gold/reward, 4 runs an arm" in text
    assert "At an end of these values, so that more might be better: ours, theirs." in text
    assert "| ours | `objective=ipo` | 0.2 | 1.5 |  |  |" in text
    assert "What was tried" not in text
    assert "earlier state" not in text
    assert (tmp_path / "made_up.png").stat().st_size > 1000


def test_one_that_does_not_stays_with_what_was_tried(tmp_path):
    plan = plan_of(tried=["twice as many steps"])
    cache = cached(tmp_path, plan, {"ours": THEIRS, "theirs": OURS})
    text = page([entry_of(tmp_path, plan, cache)], cache)
    assert "| does not hold | 9.0 |" in text
    assert "What was tried: twice as many steps" in text


def test_results_of_other_code_are_told(tmp_path):
    plan = plan_of()
    cache = cached(tmp_path, plan, {"ours": OURS, "theirs": THEIRS})
    file = cache.file(plan.search()[0])
    file.write_text(file.read_text().replace(code(), "another"))
    assert "1 of these runs are of an earlier state" in page([entry_of(tmp_path, plan, cache)], cache)


def test_a_call_with_names_leaves_the_others_alone(tmp_path):
    plan = plan_of()
    full = cached(tmp_path, plan, {"ours": OURS, "theirs": THEIRS})
    before = page([entry_of(tmp_path, plan, full)], full)
    empty = Cache(tmp_path / "empty")
    nothing = [entry_of(tmp_path, plan, empty)]
    assert page(nothing, empty, before, ["another"]) == before
    for renewed in ([], ["made_up"]):
        assert "not run yet" in page(nothing, empty, before, renewed)
