"""A sound row of every published schema, by hand: the columns that their cards name, in the types they name."""

from copy import deepcopy


def said(role, text):
    return {"role": role, "content": text}


ASK, RED, BLUE = said("user", "Which?"), said("assistant", "red"), said("assistant", "blue")
OPENING = [said("user", "Hello."), said("assistant", "Hi."), ASK]

OASST = {
    "message_tree_id": "t1",
    "parent_id": "m3",
    "messages": OPENING,
    "responses": ["red", "blue", "green"],
    "ranks": [0, 1, 2],
    "synthetic": [False, False, False],
}
TREE = {
    "message_tree_id": "t1",
    "tree_state": "ready_for_export",
    "prompt": {
        "message_id": "m1",
        "role": "prompter",
        "text": "Hello.",
        "lang": "en",
        "replies": [
            {"message_id": "m2", "role": "assistant", "text": "Hey.", "rank": 1, "replies": []},
            {
                "message_id": "m4",
                "role": "assistant",
                "text": "Hi.",
                "rank": 0,
                "replies": [
                    {
                        "message_id": "m3",
                        "role": "prompter",
                        "text": "Which?",
                        "rank": None,
                        "replies": [
                            {
                                "message_id": "m5",
                                "role": "assistant",
                                "text": "blue",
                                "rank": 1,
                                "replies": [],
                            },
                            {
                                "message_id": "m6",
                                "role": "assistant",
                                "text": "red",
                                "rank": 0,
                                "replies": [],
                            },
                            {
                                "message_id": "m7",
                                "role": "assistant",
                                "text": "new",
                                "rank": None,
                                "replies": [],
                            },
                            {
                                "message_id": "m8",
                                "role": "assistant",
                                "text": "x",
                                "rank": 2,
                                "deleted": True,
                            },
                        ],
                    }
                ],
            },
        ],
    },
}
SHP = {
    "post_id": "p1",
    "domain": "askculinary_train",
    "upvote_ratio": 0.98,
    "history": "Which?",
    "c_root_id_A": "a",
    "c_root_id_B": "b",
    "created_at_utc_A": 1636822112,
    "created_at_utc_B": 1636822110,
    "score_A": 34,
    "score_B": 17,
    "human_ref_A": "red",
    "human_ref_B": "blue",
    "labels": 1,
    "seconds_difference": 2.0,
    "score_ratio": 2.0,
}
RATINGS = {"helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 2, "verbosity": 1}
MULTI = "Hello.\n<extra_id_1>Assistant\nHi.\n<extra_id_1>User\nWhich?"
HELPSTEER2 = {
    "prompt": MULTI,
    "rows": [
        {"prompt": MULTI, "response": "red", **RATINGS},
        {"prompt": MULTI, "response": "blue", **RATINGS, "helpfulness": 1},
    ],
}
STRENGTH = {
    "split": "train",
    "prompt": MULTI,
    "response_1": "blue",
    "response_2": "red",
    "preference_strength": 2,
    "preference_statement": "@Response 2 is better.",
    "preference_elaboration": "It is red.",
}
WEBGPT = {
    "question": {"dataset": "eli5", "id": "q1", "full_text": "Which?"},
    "quotes_0": {"title": ["x"], "extract": ["y"]},
    "answer_0": "blue [1]",
    "tokens_0": {"prefix": [1], "completion": [2]},
    "score_0": -0.5,
    "quotes_1": {"title": [], "extract": []},
    "answer_1": "red [1]",
    "tokens_1": {"prefix": [1], "completion": [2]},
    "score_1": 0.5,
}
TLDR = {
    "info": {
        "id": "t3_1",
        "post": "Red or blue?",
        "title": "Which?",
        "subreddit": "ask",
        "site": None,
        "article": None,
    },
    "summaries": [
        {"text": " blue", "policy": "sup1", "note": "x"},
        {"text": " red", "policy": "ref", "note": None},
    ],
    "choice": 1,
    "worker": "w",
    "batch": "batch3",
    "split": "train",
    "extra": {"confidence": 7},
}
NECTAR = {
    "prompt": "\n\nHuman: Hello.\n\nAssistant: Hi.\n\nHuman: Which?\n\nAssistant: ",
    "answers": [
        {"answer": "red", "model": "gpt-4", "rank": 1.0},
        {"answer": "green", "model": "llama", "rank": 3.0},
        {"answer": "blue", "model": "mistral", "rank": 2.0},
    ],
    "turns": 2,
    "num_responses": 3,
    "source": ["lmsys-chat-1m", "sharegpt"],
    "good_natured": True,
}
KTO = {"messages": [*OPENING, RED], "label": True}
SENTIMENT = {"id": "7", "rating": 2.0, "text": "One of the best films of the year."}


def changed(row, *path, to):
    """A copy of a row with another value at a place."""
    copy = deepcopy(row)
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return copy
