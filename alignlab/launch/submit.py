"""The launcher that sends the jobs of a sweep to a SLURM cluster and waits for their results."""

import copy
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from alignlab.assembly.check import mistakes
from alignlab.config.resolvers import unused
from alignlab.config.stage_configs import resolved
from alignlab.errors import ConfigError, RunError
from alignlab.launch import jobs, sbatch, slurm, snapshot
from alignlab.launch.jobs import Job
from alignlab.launch.run import optimized
from alignlab.launch.sweep import alone
from alignlab.places import train_command
from alignlab.runs.config_keys import within
from alignlab.runs.overrides import key_of, quoted
from alignlab.runs.ranking import target_of

OWN = ("hydra.mode", "hydra.run", "hydra.sweep", "hydra.sweeper", "hydra.launcher", "hydra.searchpath")
"""The overrides of Hydra that concern the sweep, or that a job sets anew."""
LOOKS = (1.0, 30.0)
"""The seconds between two questions to SLURM: at first, and at most."""


@dataclass
class Sweep:
    """The sweep that Hydra hands to a launcher."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig

    @property
    def folder(self) -> Path:
        """The folder of the sweep."""
        return Path(self.config.hydra.sweep.dir).absolute()

    @cached_property
    def code(self) -> Path:
        """The folder with the copy of the code that the jobs run, made once for all batches of a sweep."""
        code = unused(jobs.below(self.folder) / "code")
        snapshot.take(code, self.config.launcher.snapshot, [folder for _, folder in self._configs])
        return code

    def submit(self, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Send one job for each list of overrides, numbered from `first`, and wait for them.

        ConfigError where SLURM refuses them or where results are needed that nobody waits for.
        """
        setup_globals()
        configs = [self._composed(overrides, first + i) for i, overrides in enumerate(batch)]
        launcher, below = self.config.launcher, jobs.below(self.folder)
        options = sbatch.options(resolved(launcher), self.config.hydra.job.name)
        if launcher.dry_run:
            print(sbatch.script(options, below, len(batch)))
            sys.exit(0)
        if not launcher.wait and not self.config.hydra.sweeper._target_.endswith("BasicSweeper"):
            raise ConfigError("launcher.wait=false: this sweeper needs the results of its jobs")
        ids = sbatch.send(options, below, [self._command(config) for config in configs])
        sent = [
            Job(first + i, ids[i], config.hydra.runtime.output_dir, list(batch[i]))
            for i, config in enumerate(configs)
        ]
        jobs.add(self.folder, sent)
        for job in sent:
            _link_logs(job, below, options["nodes"] * options["ntasks_per_node"])
        print(f"sent to SLURM: {', '.join(ids)}")
        print(f"alignlab submit state={self.folder}", flush=True)
        if not launcher.wait:
            return [JobReturn(status=JobStatus.COMPLETED) for _ in sent]
        return self._awaited(sent, configs)

    def _composed(self, overrides: Sequence[str], number: int) -> DictConfig:
        """Compose a job's config as it stands now, so that a misspelt setting fails before anything is sent."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.num, config.hydra.job.id = number, str(number)
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)
        try:
            folder = self.folder / str(config.hydra.sweep.subdir)
        finally:
            HydraConfig.instance().cfg = before
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        task = resolved(_without_hydra(config))
        if problems := list(mistakes(task)):
            raise ConfigError(f"job {number} ({' '.join(overrides)}) cannot run: " + "; ".join(problems))
        return config

    @cached_property
    def _configs(self) -> list[tuple[str, Path]]:
        """Return the folders of configs besides alignlab's own, each with who named it."""
        sources = self.config.hydra.runtime.config_sources
        own = [source for source in sources if source.schema == "file" and source.provider != "alignlab"]
        return [(source.provider, Path(source.path)) for source in own]

    def _command(self, config: DictConfig) -> list[str]:
        """Return the command of a job: one run that continues in its folder, with configs of the snapshot."""
        hydra, code = config.hydra, self.code
        copies: dict[str, list[str]] = {who: [] for who, _ in self._configs}
        for who, folder in self._configs:
            copies[who].append(str(snapshot.kept(code, folder)))
        flags = [f"--config-name={hydra.job.config_name}"]
        flags += [f"--config-dir={folder}" for folder in copies.pop("command-line", [])]
        searched = [f"file://{folder}" for folders in copies.values() for folder in folders]
        return [
            *train_command(code / "alignlab"),
            *flags,
            *(text for text in hydra.overrides.hydra if not within(key_of(text), OWN)),
            *([f"hydra.searchpath=[{','.join(map(quoted, searched))}]"] if searched else []),
            *(text for text in alone(hydra.overrides.task) if key_of(text) not in ("resume", "resume.path")),
            "resume=auto",
            "hydra.mode=RUN",
            f"hydra.run.dir={quoted(hydra.runtime.output_dir)}",
            f"hydra.sweep.dir={quoted(str(self.folder))}",
        ]

    def _awaited(self, sent: Sequence[Job], configs: Sequence[DictConfig]) -> list[JobReturn]:
        """Wait for all jobs, and return their results in order; each is added to the sweep's table as it ends."""
        came: dict[int, JobReturn] = {}
        pause, most = LOOKS
        while len(came) < len(sent):
            try:
                time.sleep(pause)
                states = slurm.states(job.id for job in sent)
            except RunError as error:  # a busy cluster is asked again
                print(error, file=sys.stderr)
                continue
            except KeyboardInterrupt:
                print("the jobs stay in the queue; alignlab submit cancel=... ends them", file=sys.stderr)
                sys.exit(130)
            finally:
                pause = min(1.2 * pause, most)
            for job, config in zip(sent, configs, strict=True):
                if job.number not in came and not jobs.alive(job, states):
                    came[job.number] = self._result(job, config, states)
        return [came[job.number] for job in sent]

    def _result(self, job: Job, config: DictConfig, states: Mapping[str, str]) -> JobReturn:
        """Return the result of a job that ended, in Hydra's form; a failure is printed at once."""
        how = jobs.standing(job, states)
        result = JobReturn(overrides=job.overrides, cfg=_without_hydra(config), hydra_cfg=config)
        if how == "finished":
            result.status = JobStatus.COMPLETED
            result.return_value = optimized(target_of(config), job.run.final)
        else:
            print(jobs.failure(job, states), file=sys.stderr)
            result.status = JobStatus.FAILED
            result.return_value = RunError(f"job {job.number} ({job.id}) {how}; its last words are above")
        self.hydra_context.callbacks.on_job_end(config=config, job_return=result)
        return result


def _without_hydra(config: DictConfig) -> DictConfig:
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def _link_logs(job: Job, below: Path, tasks: int) -> None:
    """Link the output that SLURM writes into the job's run folder: `slurm.log`, and `slurm-1.log` for task 1."""
    job.run.path.mkdir(parents=True, exist_ok=True)
    for task in range(tasks):
        link = job.log.with_stem(f"slurm-{task}") if task else job.log
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(below / f"{job.id}_{task}_log.out", link.parent))
