"""Rerankers: documents of a query, in a fixture where a document that repeats the query's word is wanted."""

import random

import torch

from alignlab import load_policy
from alignlab.data.batching.batches import collate
from alignlab.objective.load import load_objective
from alignlab.policies.policy import NO_REFERENCES
from alignlab.policies.reranker import Reranker
from tests.data.ragged import token_rows
from tests.training.small import load_small

WANTED = ("values", "embeddings", "value_slopes")


def queries(count=12):
    """Queries of one word with four documents: two that hold it, once and twice, and two that do not."""
    draw = random.Random(0)
    rows, labels = [], []
    for number in range(count):
        word = 10 + number % 3
        others = [draw.sample([w for w in range(10, 30) if w != word], 4) for _ in range(4)]
        documents = [[word, word, *others[0][:2]], [word, *others[1][:3]], others[2], others[3]]
        rows.append(([word, 5], documents))
        labels.append([1.0, 0.75, 0.0, 0.0])
    batch = collate(token_rows(rows), range(count))
    batch.labels.copy_(torch.tensor(labels))
    return batch


def test_a_reranker_learns_which_documents_are_wanted(tmp_path):
    torch.manual_seed(0)
    model, tokenizer = load_small()
    policy, batch = Reranker(Reranker.adopt(model, tokenizer)), queries()
    objective = load_objective("dpa_rag")
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    for _ in range(60):
        signals = policy.signals(batch, NO_REFERENCES, WANTED)
        torch.testing.assert_close(
            (signals["embeddings"] * signals["value_slopes"]).sum(dim=2), signals["values"]
        )
        outcome = objective(**signals, labels=batch.labels)
        optimizer.zero_grad()
        outcome.loss.backward()
        optimizer.step()
    found, wanted = signals["values"] > 0, batch.labels > 0.5
    f1 = 2 * (found & wanted).sum() / (found.sum() + wanted.sum())
    assert f1 > 0.95
    policy.export(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_policy(tmp_path).policy.model.config.num_labels == 1
