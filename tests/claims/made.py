"""Claims and results made up for tests."""

from alignlab.claims.claim import Arm, Claim, Common, Comparison, Search
from alignlab.claims.runs_of import Plan

COMMON = Common(
    runs=["data=lab", "trainer.max_steps=64"],
    small=["trainer.max_steps=2"],
    seeds=[1, 2, 3, 4, 5],
    tuning_seeds=[101, 102],
)
SEARCH = Search("optimizer.lr", [0.1, 0.2])


def plan_of(*comparisons, search=SEARCH, small=False, arms=None, tried=()):
    arms = arms or {"ours": Arm(["objective=ipo"]), "theirs": Arm(["objective=dpo"])}
    told = comparisons or (Comparison("gold/reward", ["ours"], "more", 0.2, ["theirs"]),)
    claim = Claim("made_up", 1, "a paper", "ours beats theirs", arms, told, 60.0, search=search, tried=tried)
    return Plan(claim, COMMON, small)


def results_of(plan, by_arm, *, best=0.2):
    """Results of every run: values by arm and seed; in the search one learning rate is the best."""
    found = {}
    for arm in plan.tuned():
        for value in plan.values:
            for seed in plan.tuning_seeds:
                found[plan.job(arm, seed, value).key] = {"gold/reward": float(value == best)}
    for arm, values in by_arm.items():
        for seed, value in zip(plan.seeds, values, strict=True):
            at = best if plan.claim.search else None
            found[plan.job(arm, seed, at).key] = {"gold/reward": value}
    return lambda job: found.get(job.key)
