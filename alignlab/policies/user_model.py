"""A user model as a policy: values of responses to each user, whose taste is a mixture of a few prototypes."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from alignlab.errors import ConfigError, DataError, one_of
from alignlab.policies.causal_lm.decoder import merge, unwrapped
from alignlab.policies.policy import References
from alignlab.policies.sequence_head import SequenceHead, adopted, apply_head, first_tokens, last_tokens
from alignlab.policies.user_head import UserHead, by_angle, by_distance, restore, save, saved_users
from alignlab.settings import whole
from alignlab.types import Batch

FORMS, FITS = ("A", "B"), ("all", "user")


class UserModel(SequenceHead):
    """A policy that gives every response one number for the user of its list, `values [B, K]`: PAL, arXiv:2406.08469.

    A user is a mixture of `prototypes`. In form A that mixture is a point, and a value is minus the distance of the
    response from it; in form B it is a mixture of maps of the prompt, and a value is a cosine. `fit=user` starts from a
    trained user model and moves the mixtures of its new users alone. The users are `users`, and those of the folder
    that the model was loaded from.
    """

    provides = frozenset({"values"})
    reads_users = True

    def __init__(
        self,
        model: Any,
        *,
        users: Sequence[str] | None,
        form: Literal["A", "B"] = "A",
        prototypes: Annotated[int, whole(1, 1000)] = 2,
        width: Annotated[int, whole(1, 4096)] = 64,
        fit: Literal["all", "user"] = "all",
        packing: Literal["auto", "on", "off"] = "auto",
    ) -> None:
        super().__init__(model, packing=packing)
        self.numbers = {name: number for number, name in enumerate(self.head.users)}
        if fit == "user":
            model.requires_grad_(False)
        self.head.requires_grad_(fit == "all")
        self.head.fitted.requires_grad_(
            len(self.head.fitted) > 0
        )  # engines cannot spread a gradient of nothing

    @classmethod
    def problems(cls, settings: Mapping[str, Any], wanted: Collection[str] = ()) -> Iterator[str]:
        """Yield what is wrong with the settings of a config, before anything is loaded."""
        if not settings.get("users"):
            yield "policy=user_model needs the names of the users of the data: policy.users=[anna,ben]"
            return
        if twice := [name for name, count in Counter(settings["users"]).items() if count > 1]:
            yield f"policy.users names {twice[0]} twice: a user has one mixture"

    @classmethod
    def adopt(  # type: ignore[override]
        cls,
        model: Any,
        tokenizer: Any,
        *,
        users: Sequence[str] | None,
        form: Literal["A", "B"] = "A",
        prototypes: Annotated[int, whole(1, 1000)] = 2,
        width: Annotated[int, whole(1, 4096)] = 64,
        fit: Literal["all", "user"] = "all",
    ) -> Any:
        """Return a decoder with a new head and these users, or the user model of a folder with the new ones added.

        Raises ConfigError for options that are none, for `fit=user` without a trained model or a new user, for a model
        of another form or size, and for an architecture without a classifier.
        """
        one_of("policy.form", form, FORMS)
        one_of("policy.fit", fit, FITS)
        known = saved_users(model)
        new = [name for name in users or () if name not in known]
        if fit == "user" and not (known and new):
            what = "policy.users has no new user" if known else "the model is no trained user model"
            raise ConfigError(
                f"policy.fit=user: {what}; it fits new users of a trained one: model=local model.path=<its folder> "
                "policy.users=[new]"
            )
        model = adopted(model, tokenizer, width, "user_model")
        size = model.config.get_text_config().hidden_size
        head = UserHead(form, prototypes=prototypes, hidden=size, width=width, users=known, new=new)
        if known:
            restore(head, model)
        if fit == "all":
            head.join()
        model.user_head = head.to(model.device, model.dtype)
        model.config.alignlab_users = [*known, *new]
        return model

    @property
    def head(self) -> UserHead:
        """The prototypes and the users, which travel with the transformers model."""
        head: UserHead = unwrapped(self.model).user_head
        return head

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return `values [B, K]` for the user of each list, in float32 or better; references are not used.

        Raises DataError for a list of a user that the model does not know.
        """
        head, numbers = self.head, self._numbers(batch)
        layout, states = self.encode(batch)
        items_BKW = head.items(
            batch.slotted(apply_head(self.model, states[layout.place[last_tokens(batch)]]))
        )
        if head.prototypes is not None:
            points_BD = head.mixtures(numbers) @ head.prototypes
            return {"values": by_distance(items_BKW, head.items(apply_head(self.model, points_BD)))}
        before_BKD = batch.slotted(states[layout.source[first_tokens(batch)]])
        return {"values": by_angle(items_BKW, head.ideals(before_BKD, numbers), head.scale)}

    def export(self, folder: Path) -> None:
        """Save the classifier, whose labels are the dimensions of its vectors, and beside it prototypes and users."""
        model = merge(self.model)
        weights = {name: value for name, value in model.state_dict().items() if "user_head." not in name}
        model.save_pretrained(folder, safe_serialization=True, state_dict=weights)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(folder)
        save(self.head, folder)

    def _numbers(self, batch: Batch) -> Tensor:
        for row, name in zip(batch.ids, batch.users, strict=True):
            if name not in self.numbers:
                raise DataError(
                    f"row {row} is of user '{name}', whom the model does not know ({', '.join(self.numbers)}): name it "
                    "in policy.users, or fit it to a trained model with policy.fit=user"
                )
        return torch.tensor([self.numbers[name] for name in batch.users], device=batch.tokens.device)
