"""The words and sentences of a text, for pipeline steps that remove or move some."""

import re

WORD = re.compile(r"\w+(?:[-'\u2019]\w+)*")
SENTENCE = re.compile(
    r"(?=\S)(?:\d+[.)][ \t]+)?.*?(?:[.!?]+[\"')\]]*(?=\s|$)|[\u3002\uff01\uff1f]+|(?=\n)|$)", re.DOTALL
)
"""A sentence: up to the mark that ends it, before a blank (a Chinese mark needs none), or to the end of the line.
The number of a list item belongs to what follows it."""
ENGLISH = """
a about above after again all also am an and any are as at away be because been before being below between
both but by can cannot could did do does doing down during each either else even ever every few for from
further get had has have having he her here hers him his how i if in into is it its itself just let like may
me might more most much must my neither no nor not now of off often on once one only onto or other our ours
out over own per quite rather same shall she should since so some such than that the their theirs them then
there these they this those though through thus to too under until up upon us very was we well were what
when where whether which while who whom whose why will with within without would yes yet you your yours
aren't can't couldn't didn't doesn't don't hadn't hasn't haven't he's i'd i'll i'm i've isn't it's let's
she's shouldn't that's there's they'll they're they've wasn't we'll we're we've weren't what's won't
wouldn't you'd you'll you're you've
"""
STOP_WORDS = frozenset(ENGLISH.split())
"""Common English words that carry no content of their own."""


def plain(word: str) -> str:
    """The lower-case form in which words are compared."""
    return word.lower().replace("\u2019", "'")


def content_words(text: str) -> set[str]:
    """The content words of a text: all but common English ones.

    >>> sorted(content_words("It is the Fox's den; the fox\u2019s!"))
    ['den', "fox's"]
    """
    return {plain(word) for word in WORD.findall(text)} - STOP_WORDS
