"""An attribute model as a policy: a head for each attribute of a response, and a gate on the prompt to weigh them."""

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from alignlab import ranks
from alignlab.errors import ConfigError, one_of
from alignlab.policies.attribute_gate import AttributeGate, named, restore, save, settings_of
from alignlab.policies.causal_lm.decoder import merge, unwrapped
from alignlab.policies.policy import References
from alignlab.policies.ridge import penalties_of, ridge
from alignlab.policies.sequence_head import (
    HEAD,
    SequenceHead,
    adopted,
    apply_head,
    first_tokens,
    is_classifier,
    last_tokens,
    with_new_head,
)
from alignlab.settings import PositiveNumber, ShareBelowOne, whole
from alignlab.types import Batch, Example

FITS = ("gate", "attributes")
HELD_OUT = 5
"""Of this many lists, one is held out from the regression that chooses its strength."""


class AttributeModel(SequenceHead):
    """A policy that rates the `attributes` of responses and weighs them by prompt: ArmoRM, arXiv:2406.12845.

    It gives `attribute_values [B, K, A]`, by a linear head for each attribute at the last token, and `values [B, K]`:
    the sum of these, less their part of `verbosity` (one of the attributes, or None), times the weights that a gate
    gives the prompt. With `fit=gate` the decoder is frozen, the heads are fitted to the ratings of the training rows by
    ridge regression before the first step, and steps move the gate; with `fit=attributes` steps move decoder and heads.
    """

    provides = frozenset({"values", "attribute_values"})

    def __init__(
        self,
        model: Any,
        *,
        attributes: Sequence[str] | None,
        verbosity: str | None = None,
        fit: Literal["gate", "attributes"] = "gate",
        packing: Literal["auto", "on", "off"] = "auto",
        temperature: PositiveNumber = 10.0,
        gate_width: Annotated[int, whole(1, 65536)] = 1024,
        gate_layers: Annotated[int, whole(0, 100)] = 3,
        dropout: ShareBelowOne = 0.2,
    ) -> None:
        super().__init__(model, packing=packing)
        self.attributes = tuple(attributes or settings_of(model)["names"])
        self.verbosity = None if verbosity is None else self.attributes.index(verbosity)
        self.fit = fit
        if fit == "gate":
            model.requires_grad_(False)
        self.gate.requires_grad_(fit == "gate")

    @classmethod
    def problems(cls, settings: Mapping[str, Any], wanted: Collection[str] = ()) -> Iterator[str]:
        """Yield what is wrong with the settings of a config, before anything is loaded."""
        names = settings.get("attributes")
        if not names:
            yield "policy=attribute_model needs the attributes in the ratings of the data: policy.attributes=[...]"
            return
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            yield f"policy.attributes names {twice[0]} twice: an attribute has one head"
        if settings.get("fit") == "gate" and "attribute_values" in wanted:
            yield "policy.fit=gate trains the gate alone, which ratings do not see: use policy.fit=attributes"
        if (verbosity := settings.get("verbosity")) is not None and verbosity not in names:
            yield f"policy.verbosity={verbosity} is none of policy.attributes=[{','.join(names)}]"

    @classmethod
    def row_problems(cls, settings: Mapping[str, Any], rows: Iterable[Example]) -> Iterator[str]:
        """Yield a message for the attributes that no response of the training rows has a rating of."""
        missing, others = set(settings["attributes"]), set[str]()
        for row in rows:
            for ratings in row.meta.get("ratings") or ():
                missing -= ratings.keys()
                others |= ratings.keys()
            if not missing:
                return
        there = f"their ratings are of {', '.join(sorted(others))}" if others else "they have no ratings"
        yield (
            f"policy.attributes: no training row rates {', '.join(sorted(missing))} (meta.ratings of its responses); "
            f"{there}: leave out what is not rated, or use data with ratings (data=helpsteer2, data=ultrafeedback)"
        )

    @classmethod
    def adopt(  # type: ignore[override]
        cls,
        model: Any,
        tokenizer: Any,
        *,
        attributes: Sequence[str] | None,
        verbosity: str | None = None,
        fit: Literal["gate", "attributes"] = "gate",
        temperature: PositiveNumber = 10.0,
        gate_width: Annotated[int, whole(1, 65536)] = 1024,
        gate_layers: Annotated[int, whole(0, 100)] = 3,
        dropout: ShareBelowOne = 0.2,
    ) -> Any:
        """Return a decoder with heads for these attributes and a gate: those of an attribute model's folder, or new.

        A classifier of another kind, as a reward model, gives its decoder alone. Raises ConfigError for options that
        are none, for a folder with other attributes or a gate of another size, and for an architecture without a
        classifier.
        """
        one_of("policy.fit", fit, FITS)
        known = settings_of(model)
        names = list(attributes or known["names"])
        if known and known["names"] != names:
            raise ConfigError(
                f"model.path={model.name_or_path} is a model of other attributes: set "
                f"policy.attributes=[{','.join(known['names'])}]"
            )
        if not known and is_classifier(model):
            model = with_new_head(model, len(names), "attribute_model")
        model = adopted(model, tokenizer, len(names), "attribute_model")
        sizes: dict[str, Any] = {
            "width": gate_width,
            "layers": gate_layers,
            "dropout": dropout,
            "temperature": temperature,
        }
        hidden = model.config.get_text_config().hidden_size
        gate = AttributeGate(len(names), hidden=hidden, **sizes)
        if known:
            restore(gate, model)
        model.attribute_gate = gate.to(model.device, model.dtype)
        model.config.update(named(names))
        model.config.alignlab_attributes = {"names": names, "verbosity": verbosity, **sizes}
        return model

    @property
    def gate(self) -> AttributeGate:
        """The gate and the penalties, which travel with the transformers model."""
        gate: AttributeGate = unwrapped(self.model).attribute_gate
        return gate

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return `attribute_values [B, K, A]` and `values [B, K]`, in float32 or better; references are not used."""
        layout, states = self.encode(batch)
        rewards_BKA = batch.slotted(apply_head(self.model, states[layout.place[last_tokens(batch)]]))
        prompts_BKD = batch.slotted(states[layout.source[first_tokens(batch)]])
        with torch.autocast(states.device.type, enabled=False):
            values_BK = self.gate(prompts_BKD, rewards_BKA, self.verbosity)
        return {"attribute_values": rewards_BKA, "values": values_BK}

    @torch.no_grad()
    def begin(self, batches: Iterable[Batch]) -> None:
        """Fit the heads to the ratings of the training rows, and the penalties to what the heads give: `fit=gate`."""
        if self.fit != "gate":
            return
        features, ratings, held = self._read(batches)
        fitted = [ridge(features, ratings[:, a], held)[0] for a in range(len(self.attributes))]
        head = getattr(unwrapped(self.model), HEAD)
        head.weight.copy_(torch.stack(fitted))
        if self.verbosity is not None:
            rewards = ranks.rows(features.double() @ torch.stack(fitted).T)
            self.gate.penalties.copy_(penalties_of(rewards, self.verbosity))

    def _read(self, batches: Iterable[Batch]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the hidden state of every response, its ratings, and whether it is held out, on this rank."""
        device = next(self.parameters()).device
        features, ratings, held = [], [], []
        for batch in batches:
            batch = batch.to(device)
            features.append(self.last_states(batch).float())
            assert batch.ratings is not None
            order = batch.slot[batch.where].argsort()
            ratings.append(batch.ratings[batch.where][order])
            lists = torch.tensor([is_held_out(row) for row in batch.ids], device=device)
            held.append(lists[:, None].expand_as(batch.where)[batch.where][order])
        if not features:
            width = self.sizes["D"]
            none = torch.zeros(0, width, device=device)
            return none, none.new_zeros(0, len(self.attributes)), none.new_zeros(0, dtype=torch.bool)
        return torch.cat(features), torch.cat(ratings), torch.cat(held)

    def export(self, folder: Path) -> None:
        """Save the classifier, whose labels are the attributes, and beside it the gate."""
        model = merge(self.model)
        weights = {name: value for name, value in model.state_dict().items() if "attribute_gate." not in name}
        model.save_pretrained(folder, safe_serialization=True, state_dict=weights)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(folder)
        save(model.attribute_gate, folder)


def is_held_out(row: str) -> bool:
    """Whether the list with this id is one of the fifth that is held out."""
    return zlib.crc32(row.encode()) % HELD_OUT == 0
