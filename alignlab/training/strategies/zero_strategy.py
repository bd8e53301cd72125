"""Lightning's DeepSpeed strategy as we run it: micro-batches and checkpoints of our own, and CPU ranks too."""

import warnings
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.plugins import DeepSpeedPrecision
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from alignlab.training.checkpointing.sharded_files import Held
from alignlab.training.strategies import zero_state
from alignlab.training.strategies.sharded import ShardedStrategy


class ZeroStrategy(ShardedStrategy, DeepSpeedStrategy):
    """Lightning's DeepSpeed strategy with our micro-batches and our checkpoints, on CPU ranks too."""

    cluster_environment: Any
    lightning_module: Any
    model: Any
    trained: dict[str, Tensor] | None = None
    """All weights by name, on rank 0 after training at stage 3; None before, and elsewhere."""

    @property
    def precision_plugin(self) -> Any:
        """The precision plugin, which rounds as DeepSpeed does."""
        return self._precision_plugin

    @precision_plugin.setter
    def precision_plugin(self, plugin: Any) -> None:
        self._precision_plugin = plugin and ZeroPrecision(plugin.precision)

    def setup_environment(self) -> None:
        """Set up as DDP does: DeepSpeed's own method differs only in that it refuses CPUs."""
        DDPStrategy.setup_environment(self)

    def setup_distributed(self) -> None:
        """Let DeepSpeed join the process group that the ranks have made already."""
        import deepspeed

        known = deepspeed.ops.__compatible_ops__
        known["deepspeed_shm_comm"] = False  # it would be compiled for a minute, and gloo does the same
        if self._alone:  # a group of one is made anew by every training
            deepspeed.comm.comm.cdb = deepspeed.utils.groups._WORLD_GROUP = None
        warnings.filterwarnings("ignore", r".*torch\.distributed\.\w+_tensor. is deprecated", FutureWarning)
        self.set_world_ranks()
        self._init_deepspeed_distributed()

    def setup(self, trainer: L.Trainer) -> None:
        """Set up as Lightning's DeepSpeed strategy does, past our strategy for FSDP."""
        DeepSpeedStrategy.setup(self, trainer)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module itself: DeepSpeed wraps each micro-batch, not the step."""
        return self.lightning_module.training_step(*args, **kwargs)

    def _setup_model_and_optimizer(
        self, model: Any, optimizer: Any, lr_scheduler: Any = None
    ) -> tuple[Any, Any]:
        """Initialize DeepSpeed's engine, and put it in the place of the module's scorer."""
        import deepspeed

        trained = _Trained(model.scorer, model.terms if model.learned_terms else nn.ModuleDict())
        if self.zero_stage_3:
            deepspeed.zero.Init(module=trained, config_dict_or_path=self.config)
            if (head := model.scorer.policy.model.get_output_embeddings()) is not None:
                for weight in head.parameters():
                    deepspeed.zero.register_external_parameter(
                        trained.scorer, weight
                    )  # read without its module
        engine, wrapped, *_ = deepspeed.initialize(
            args=Namespace(device_rank=self.local_rank),
            config=self.config,
            model=trained,
            model_parameters=[p for p in trained.parameters() if p.requires_grad],
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            dist_init_required=False,
        )
        model.scorer = engine
        model.to(self.root_device)
        return engine, wrapped

    def on_train_end(self) -> None:
        """Keep the float32 weights that the optimizer moved, where training was in mixed precision."""
        module, mixed = self.lightning_module, "mixed" in self.precision_plugin.precision
        if self.zero_stage_3:
            self.trained = zero_state.whole(module.scorer.policy.model, exact=mixed)
        elif mixed:
            zero_state.unround(self.model)

    def teardown(self) -> None:
        """Destroy DeepSpeed's engine, so that it lets go of the model."""
        from deepspeed.runtime.zero.parameter_offload import FWD_MODULE_STACK

        if self.model is not self.lightning_module:
            self.model.destroy()
        FWD_MODULE_STACK.clear()
        super().teardown()

    def held(self) -> Held:
        """Return the shares of weights and optimizer state that this rank holds, for a checkpoint."""
        return zero_state.held(self.model)

    def take_up(self, saved: Sequence[Held]) -> None:
        """Restore weights and optimizer state from the shares that the ranks of a checkpoint held."""
        zero_state.take_up(self.model, saved)


class ZeroPrecision(DeepSpeedPrecision):
    """A precision plugin that keeps bfloat16 weights beside the optimizer's float32 ones, in references too."""

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Round the module's weights, not its buffers; a reference that is sharded already stays as it is."""
        weights = [parameter for parameter in module.parameters() if parameter.is_floating_point()]
        if "bf16" in self.precision and not any(isinstance(weight, DTensor) for weight in weights):
            for weight in weights:
                weight.data = weight.data.bfloat16()
        return module


class _Trained(nn.Module):
    """The scorer and the terms with parameters as one module, which is called as the scorer is."""

    def __init__(self, scorer: nn.Module, terms: nn.Module) -> None:
        super().__init__()
        self.scorer, self.terms = scorer, terms

    @property
    def policy(self) -> Any:
        """The policy that is trained."""
        return self.scorer.policy

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.scorer(*args, **kwargs)
