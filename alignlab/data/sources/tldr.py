"""Summaries compared by people (arXiv:2009.01325), schema of openai/summarize_from_feedback, comparisons.

info       {post, title, subreddit: str} of a Reddit post, or {article: str} of CNN/Daily Mail
summaries  two of {text: str, policy: str}
choice     int   0 or 1, the better summary
extra      {confidence: int}, optional
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import RowError, column, user
from alignlab.data.sources.columns import pair, text_of
from alignlab.types import Example


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a pair of summaries; the paper's prompt is subreddit, title and post (or the article), then 'TL;DR:'."""
    info, summaries = column(row, "info", Mapping), column(row, "summaries", list)
    choice = column(row, "choice", int)
    if len(summaries) != 2 or not all(isinstance(summary, Mapping) for summary in summaries):
        raise RowError("summaries", f"expected two of {{text, policy}}, found {summaries!r:.60}")
    if choice not in (0, 1):
        raise RowError("choice", f"expected 0 or 1, found {choice}")
    order = (summaries[choice], summaries[1 - choice])
    subreddit, extra = text_of(info, "subreddit"), row.get("extra")
    return pair(
        user(_prompt(info)),
        *(column(summary, "text", str).strip() for summary in order),
        meta={
            "source": f"r/{subreddit}" if subreddit else "cnn_dm",
            "post": text_of(info, "id"),
            "models": [text_of(summary, "policy") for summary in order],
            "confidence": extra.get("confidence") if isinstance(extra, Mapping) else None,
        },
    )


def _prompt(info: Mapping[str, Any]) -> str:
    if info.get("post") is None and info.get("article") is not None:
        return f"{column(info, 'article', str).strip()}\n\nTL;DR:"
    subreddit, title, post = (column(info, name, str).strip() for name in ("subreddit", "title", "post"))
    return f"SUBREDDIT: r/{subreddit}\n\nTITLE: {title}\n\nPOST: {post}\n\nTL;DR:"
