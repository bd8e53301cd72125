"""Values to users: mixtures of prototypes, exact in every batch, kept in the folder, fitted to a new user alone."""

from dataclasses import replace

import pytest
import torch

from alignlab import load_objective
from alignlab.data.batching.batches import Extras, collate
from alignlab.errors import ConfigError, DataError
from alignlab.policies.causal_lm.packing.tiny_copy import Exact
from alignlab.policies.causal_lm.pretrained import load
from alignlab.policies.policy import NO_REFERENCES
from alignlab.policies.user_head import UserHead, by_angle, by_distance
from alignlab.policies.user_model import UserModel
from tests.data.ragged import draw, token_rows
from tests.training.small import load_small
from tests.vectors import more, tensor

CASE = more()["B2_pal"]
GIVEN, EXPECTED = CASE["inputs"], CASE["outputs"]
ROWS = draw((2, 3, 1, 4, 2), vocabulary=30, seed=2)
USERS = ("anna", "ben", "anna", "cleo", "ben")
SETTINGS = {"users": ["anna", "ben", "cleo"], "width": 8, "prototypes": 3}


def vector_head(form):
    head = UserHead(form, prototypes=2, hidden=2, width=2, users=["u"], new=[]).double()
    head.logits.data = tensor([GIVEN["user_logits"]])
    return head


def test_form_a_is_that_of_the_vectors():
    head, numbers = vector_head("A"), torch.tensor([0])
    head.prototypes.data = tensor(GIVEN["prototypes"])
    torch.testing.assert_close(head.mixtures(numbers)[0], tensor(EXPECTED["w"]), atol=1e-9, rtol=0)
    ideal = head.mixtures(numbers) @ head.prototypes
    torch.testing.assert_close(ideal[0], tensor(EXPECTED["ideal"]), atol=1e-9, rtol=0)
    items = tensor([[GIVEN["x_left"], GIVEN["x_right"]]])
    values = by_distance(head.items(items), ideal)
    assert (values[0, 1] - values[0, 0]).item() == pytest.approx(EXPECTED["A_score"], abs=1e-9)
    loss = load_objective("pal")(values=values, labels=tensor([[1.0, 0.0]])).loss
    assert loss.item() == pytest.approx(EXPECTED["A_hinge_y_minus1"], abs=1e-9)


def test_form_b_is_that_of_the_vectors():
    head, numbers = vector_head("B"), torch.tensor([0])
    head.maps.data = torch.stack([tensor(row).diag() for row in GIVEN["prompt_prototypes"]])
    ideals = head.ideals(torch.ones(1, 2, 2, dtype=torch.float64), numbers)
    torch.testing.assert_close(ideals[0, 0], tensor(EXPECTED["B_z"]), atol=1e-9, rtol=0)
    items = tensor([[GIVEN["x_left"], GIVEN["x_right"]]])
    values = by_angle(items, ideals, 1.0)
    torch.testing.assert_close(values[0], tensor(EXPECTED["B_cos"]), atol=1e-9, rtol=0)
    assert head.scale.item() == pytest.approx(GIVEN["logit_scale"])
    objective = load_objective("pal", form="logistic")
    loss = objective(values=GIVEN["logit_scale"] * values, labels=tensor([[1.0, 0.0]])).loss
    assert loss.item() == pytest.approx(EXPECTED["B_ce_label0"], abs=1e-9)


def user_model(dtype=torch.float32, packing="auto", **changes):
    settings = {**SETTINGS, **changes}
    model = UserModel.adopt(*load_small(dtype), **settings)
    generator = torch.Generator().manual_seed(3)
    for weight in (model.score.weight, *model.user_head.parameters()):
        if weight.dim():
            weight.data = 0.2 * torch.randn(weight.shape, generator=generator).to(dtype)
    return UserModel(model, packing=packing, **settings)


def values(policy, users=USERS, rows=ROWS, indices=None):
    tokens = token_rows(rows)
    examples = [replace(e, meta={"user": user}) for e, user in zip(tokens.examples, users, strict=True)]
    batch = collate(replace(tokens, examples=examples), indices or range(len(rows)), Extras(users=True))
    return policy.signals(batch, NO_REFERENCES, {"values"})["values"]


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_values_do_not_depend_on_batch_order_or_packing(form, dtype, tolerance):
    policy, plain = (user_model(dtype, packing, form=form) for packing in ("auto", "off"))
    scale = policy.head.scale.item() if form == "B" else 1.0
    with Exact() if dtype == torch.float64 else torch.no_grad():
        whole = values(policy)
        torch.testing.assert_close(values(plain), whole, atol=scale * tolerance, rtol=0)
        for b, (prompt, responses) in enumerate(ROWS):
            alone = values(policy, indices=[b])[0]
            torch.testing.assert_close(whole[b, : len(responses)], alone, atol=scale * tolerance, rtol=0)
            turned = values(policy, USERS[b : b + 1], [(prompt, responses[::-1])])[0].flip(0)
            torch.testing.assert_close(turned, alone, atol=scale * tolerance, rtol=0)


@pytest.mark.parametrize("form", ["A", "B"])
def test_users_differ_by_their_mixture_alone(form):
    policy = user_model(form=form)
    with torch.no_grad():
        seen = [values(policy, [user] * len(ROWS)) for user in SETTINGS["users"]]
        assert not torch.allclose(seen[0], seen[1])
        one = user_model(form=form, prototypes=1)
        torch.testing.assert_close(values(one, ["anna"] * len(ROWS)), values(one, ["ben"] * len(ROWS)))
        same = policy.head.prototypes if form == "A" else policy.head.maps
        same.copy_(same[:1].expand_as(same))
        torch.testing.assert_close(values(policy, ["anna"] * len(ROWS)), values(policy, ["ben"] * len(ROWS)))


def test_unknown_users_and_rows_without_one_are_told():
    with pytest.raises(DataError, match="row row2 is of user 'dora', whom the model does not know"):
        values(user_model(), ("anna", "ben", "dora", "cleo", "ben"))
    with pytest.raises(DataError, match="row row1 names no user"):
        values(user_model(), ("anna", "", "anna", "cleo", "ben"))
    (problem,) = UserModel.problems({"users": None})
    assert "policy.users=[anna,ben]" in problem


@pytest.mark.parametrize("form", ["A", "B"])
def test_a_new_user_is_fitted_to_a_folder_and_nothing_else_moves(form, tmp_path):
    policy = user_model(form=form)
    policy.export(tmp_path / "model")
    load_small()[1].save_pretrained(tmp_path / "model")
    settings = {**SETTINGS, "form": form, "users": ["dora"], "fit": "user"}
    again = UserModel(UserModel.adopt(*load(path=str(tmp_path / "model")), **settings), **settings)
    with torch.no_grad():
        torch.testing.assert_close(values(again), values(policy))
    moving = {name for name, weight in again.named_parameters() if weight.requires_grad}
    assert moving == {"model.user_head.fitted"}
    before = values(again, ["dora"] * len(ROWS)).detach()
    optimizer = torch.optim.AdamW([w for w in again.parameters() if w.requires_grad], lr=0.5)
    values(again, ["dora"] * len(ROWS))[:, 0].sum().backward()
    optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(values(again), values(policy))
        assert not torch.allclose(values(again, ["dora"] * len(ROWS)), before)
        again.export(tmp_path / "fitted")
        load_small()[1].save_pretrained(tmp_path / "fitted")
        third = {**settings, "users": None, "fit": "all"}
        kept = UserModel(UserModel.adopt(*load(path=str(tmp_path / "fitted")), **third), **third)
        assert kept.head.users == ["anna", "ben", "cleo", "dora"]
        everyone = ("anna", "ben", "dora", "cleo", "dora")
        torch.testing.assert_close(values(kept, everyone), values(again, everyone))


def test_a_fit_of_nobody_and_a_folder_of_another_form_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"policy\.fit=user: the model is no trained user model"):
        user_model(fit="user")
    user_model().export(tmp_path / "model")
    load_small()[1].save_pretrained(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"policy\.fit=user: policy\.users has no new user"):
        UserModel.adopt(*load(path=str(tmp_path / "model")), **SETTINGS, fit="user")
    with pytest.raises(ConfigError, match="is a user model of another form or size"):
        UserModel.adopt(*load(path=str(tmp_path / "model")), **{**SETTINGS, "prototypes": 2})
