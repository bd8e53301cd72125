"""A study of Optuna, which runs each trial once a seed and optimizes the means; it continues where it was stopped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from alignlab.errors import AlignlabError, ConfigError, RunError
from alignlab.launch.search import Search, parse_search
from alignlab.runs.ranking import minimized, target_of
from alignlab.runs.record import Record
from alignlab.runs.resume import same_run
from alignlab.runs.sweep_summary import short_number

if TYPE_CHECKING:
    import optuna

Launch = Callable[[Sequence[Sequence[str]], int], None]
"""A function that runs jobs, each a list of overrides; its second argument is the number of the first job."""


def run_study(arguments: Sequence[str], config: DictConfig, launch: Launch, **options: Any) -> None:
    """Run the trials of a study that are missing; `options` are those of conf/hydra/sweeper/optuna.yaml.

    Raises ConfigError on options that cannot be and on the folder of another study, RunError where no trial was
    finished.
    """
    try:
        import optuna
    except ImportError as error:
        needed = "hydra/sweeper=optuna needs the optuna package: pip install -e '.[tune]'"
        raise ConfigError(needed) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for key in ("n_trials", "n_jobs", "n_random"):
        if options[key] < 1:
            raise ConfigError(f"hydra.sweeper.{key}={options[key]}: expected a number above 0")
    spelled = [f"{key}={value}" for key, value in options["params"].items()]
    search = parse_search([*spelled, *arguments], config.seed)
    study = _opened(Path(config.hydra.sweep.dir), search, config, options)
    trials = Trials(study, search, Path(config.hydra.sweep.dir), target_of(config), launch)
    begun = trials.begun()
    while (missing := options["n_trials"] - trials.ended()) > 0:
        side_by_side = min(missing, options["n_jobs"])
        trials.run([begun.pop(0) if begun else trials.asked() for _ in range(side_by_side)])
    if not trials.complete():
        raise RunError(f"no trial of {trials.folder} was finished")


@dataclass
class Trials:
    """The trials of a study, and the runs that they consist of."""

    study: "optuna.Study"
    search: Search
    folder: Path
    metric: str
    launch: Launch
    launched: int = 0

    def asked(self) -> "optuna.Trial":
        """Ask the study for a new trial."""
        return self.study.ask(dict(self.search.space))

    def begun(self) -> "list[optuna.Trial]":
        """Return the trials that were running when the study was stopped; their finished runs are not run again."""
        import optuna

        left = self.study.get_trials(states=[optuna.trial.TrialState.RUNNING])
        return [optuna.Trial(self.study, trial._trial_id) for trial in left]

    def ended(self) -> int:
        """Return the number of trials that ended, in whatever state."""
        return sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))

    def complete(self) -> int:
        """Return the number of trials that finished all their seeds."""
        import optuna

        return len(self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]))

    def run(self, trials: "Sequence[optuna.Trial]") -> None:
        """Run these trials side by side, seed after seed; a trial that the pruner stops gets no more seeds."""
        import optuna

        values: dict[optuna.Trial, list[float]] = {trial: [] for trial in trials}
        for step, seed in enumerate(self.search.seeds):
            self._run_jobs([*values], seed)
            for trial in [*values]:
                result = Record(self._job_folder(trial, seed)).result(self.metric)
                if result is None:
                    self._tell(trial, values.pop(trial), optuna.trial.TrialState.FAIL)
                    continue
                values[trial].append(result)
                trial.report(fmean(values[trial]), step)
                if step + 1 < len(self.search.seeds) and trial.should_prune():
                    self._tell(trial, values.pop(trial), optuna.trial.TrialState.PRUNED)
        for trial, results in values.items():
            self._tell(trial, results, optuna.trial.TrialState.COMPLETE)

    def _tell(self, trial: "optuna.Trial", values: Sequence[float], state: "optuna.trial.TrialState") -> None:
        done = state.name == "COMPLETE"
        self.study.tell(trial, fmean(values) if done else None, state)
        chosen = " ".join(f"{key}={short_number(value)}" for key, value in trial.params.items())
        came_to = f"{self.metric} {short_number(fmean(values))}" if values else ""
        print(f"trial {trial.number} {state.name.lower()}: {chosen}  {came_to}", flush=True)

    def _job_folder(self, trial: "optuna.Trial", seed: str) -> Path:
        return self.folder / f"trial{trial.number:03d}-seed{seed}"

    def _run_jobs(self, trials: "Sequence[optuna.Trial]", seed: str) -> None:
        """Run one seed of these trials, where it is not finished; a failed job does not end the study."""
        jobs = []
        for trial in trials:
            folder = self._job_folder(trial, seed)
            if not Record(folder).finished:
                own = ["resume=auto", f"hydra.sweep.subdir={folder.name}"]
                jobs.append([*self.search.overrides(trial.params, seed), *own])
        if not jobs:
            return
        try:
            self.launch(jobs, self.launched)
        except (AlignlabError, HydraException, OmegaConfBaseException):
            raise
        except Exception as error:  # a worker that was killed takes its launcher along, and not the study
            print(f"the launcher failed: {type(error).__name__}: {error}", flush=True)
        self.launched += len(jobs)


def _opened(folder: Path, search: Search, config: DictConfig, options: Mapping[str, Any]) -> "optuna.Study":
    """Open the study of a sweep folder, or create it; raises ConfigError where its settings are others."""
    import optuna

    metric = target_of(config)
    direction: Literal["minimize", "maximize"] = (
        "minimize" if minimized(metric, config.optimized_direction) else "maximize"
    )
    place = f"sqlite:///{folder / 'study.db'}"
    study = optuna.create_study(storage=place, study_name="sweep", load_if_exists=True, direction=direction)
    space = {key: str(distribution) for key, distribution in search.space.items()}
    aim = {"metric": metric, "direction": direction, "seeds": list(search.seeds)}
    asked = {**aim, "fixed": same_run(search.fixed), "space": space}
    before = study.user_attrs.get("asked", asked)
    if before != asked:
        lines = "".join(
            f"\n  {key}: {before[key]} -> {now}" for key, now in asked.items() if before[key] != now
        )
        raise ConfigError(
            f"{folder} holds another study (before -> now):{lines}\nSet it back, or choose another folder with "
            "hydra.sweep.dir=..."
        )
    study.set_user_attr("asked", asked)
    seed = options["seed"] + len(study.trials)  # with the old one, the first random trials would come again
    study.sampler = optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=options["n_random"], constant_liar=True
    )
    prune = options["prune_after"]
    study.pruner = optuna.pruners.NopPruner() if prune is None else optuna.pruners.MedianPruner(prune)
    return study
