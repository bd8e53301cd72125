"""Renders conversations as text with the chat template of a tokenizer, each response apart from its prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from alignlab.data.encoding.notes import Notes
from alignlab.data.encoding.rendering import CONTENT, Refusal, Rendering, Turns, common_start, turn
from alignlab.data.encoding.standing import ASIDE, REASONING, THOUGHT, lost, stands, tools_lost
from alignlab.data.encoding.template_habits import misplaces_system, writes_the_day
from alignlab.data.tables.lists import per_response
from alignlab.types import Example, Message

FOLDED = "the chat template has no system turns: their text goes to the head of the first user turn"
DAY = (
    "the chat template writes the date of the day: rows that are tokenized keep theirs as long as they are in the "
    "cache; for the same tokens on all days and machines, give a template with a fixed date "
    "(model.chat_template=/path/to/file.jinja)"
)
THOUGHTS = (
    "row %s: the chat template leaves out the reasoning of earlier turns, as it will when the model is asked; so it is "
    "with all such rows"
)
KEPT = (
    "row %s: the chat template leaves out text of the response (with most such templates its reasoning), which is "
    "what is learned: it is kept as written, here and in all such rows"
)
UNOPENED = (
    "row %s: the chat template asks for responses that begin with %r, and this one does not: it is trained on as it "
    "stands, without that mark before it; so are all such rows"
)
ASIDES = "row %s: the chat template leaves out the '%s' of turns, here and in all such rows"
TOOL_TURNS = (
    "row %s: its response holds the result of a tool, which is trained on as if the model had written it; so it is "
    "with all such rows"
)
REWRITES = (
    "the chat template rewrites the prompt once a response follows, so the response cannot be told apart"
)
THINK = "<think>"


@dataclass(frozen=True)
class Texts:
    """A list as text: its prompt, or one for each response, and the text that the template adds for each response."""

    prompts: list[str]
    responses: list[str]


class ChatText:
    """The chat template of a tokenizer, as a function from conversations to texts.

    Where the template refuses system turns, leaves them out, or moves them, their text goes to the head of the first
    user turn. What else it leaves out of a row makes the row unfit.
    """

    def __init__(self, tokenizer: Any, notes: Notes) -> None:
        self._render, self._notes = Rendering(tokenizer), notes

    def __call__(self, examples: Sequence[Example]) -> list[Texts | Refusal]:
        """Render the prompts, generation marks included, and the responses; a row that does not fit is a Refusal."""
        if examples and self._writes_the_day:
            self._notes.tell("day", DAY)
        asked = [[self._fitting(prompt) for prompt in prompts_of(example)] for example in examples]
        answers = [[turns_of(response) for response in example.responses] for example in examples]
        tools = [tools_of(example) for example in examples]
        prompts = self._render.each(
            [(turns, t) for row, t in zip(asked, tools, strict=True) for turns in row],
            add_generation_prompt=True,
        )
        wholes = self._render.each(
            [
                ([*prompt, *answer], t)
                for row, own, t in zip(asked, answers, tools, strict=True)
                for prompt, answer in zip(_each(row, own), own, strict=True)
            ]
        )
        first, last = iter(prompts), iter(wholes)
        rendered: list[Texts | Refusal] = []
        for example, row, own in zip(examples, asked, answers, strict=True):
            texts = [next(first) for _ in row], [next(last) for _ in own]
            try:
                rendered.append(self._row(example, row, own, *texts))
            except Refusal as refusal:
                rendered.append(refusal)
        return rendered

    def _row(
        self,
        example: Example,
        prompts: list[Turns],
        answers: list[Turns],
        asked: list[str | Refusal],
        wholes: list[str | Refusal],
    ) -> Texts:
        """The texts of one row, checked to hold all that the row says."""
        texts = [_text(text) for text in asked]
        for turns, text in zip(prompts, texts, strict=True):
            self._require_prompt(example, turns, text)
        parted = [
            self._parted(example, prompt, answer, text, _text(whole))
            for prompt, answer, text, whole in zip(
                _each(prompts, answers), answers, _each(texts, answers), wholes, strict=True
            )
        ]
        if len(prompts) > 1:
            return Texts([prompt for prompt, _ in parted], [response for _, response in parted])
        shared = min((prompt for prompt, _ in parted), key=len, default=texts[0])
        return Texts([shared], [(prompt + response)[len(shared) :] for prompt, response in parted])

    def _parted(
        self, example: Example, prompt: Turns, answer: Turns, asked: str, whole: str
    ) -> tuple[str, str]:
        """The texts of a prompt and of its response, which together are what the template makes of both."""
        if any(said["role"] == "tool" for said in answer):
            self._notes.tell("tool turns", TOOL_TURNS % example.id)
        base, mark = asked.removesuffix(self._opening), self._opening.strip()
        if whole.startswith(asked) and not any(lost(answer, whole[len(base) :])):
            return asked, whole[len(asked) :]
        tools = tools_of(example)
        bare = common_start([self._render.one(prompt, tools), asked])
        if not whole.startswith(bare):
            raise Refusal(REWRITES)
        whole = self._completed(example, prompt, answer, bare, whole)
        if whole.startswith(asked):
            return asked, whole[len(asked) :]
        if not mark or base == asked or not whole.startswith(base):
            raise Refusal(REWRITES)
        if whole.startswith(mark, len(base)):
            return asked, whole[len(base) + len(mark) :].lstrip("\n")
        self._notes.tell("unopened", UNOPENED % (example.id, mark))
        return base, whole[len(base) :]

    def _completed(self, example: Example, prompt: Turns, answer: Turns, bare: str, whole: str) -> str:
        """The text of a conversation with the contents of the response that the template leaves out put back."""
        missing = lost(answer, whole[len(bare) :])
        back = [n for n, key in missing if key == "content" and answer[n]["role"] == "assistant"]
        if back:
            marked = [
                {**said, "content": f"{CONTENT}{n}{CONTENT}"} if n in back else said
                for n, said in enumerate(answer)
            ]
            whole = self._render.one([*prompt, *marked], tools_of(example))
            for n in back:
                whole = whole.replace(f"{CONTENT}{n}{CONTENT}", answer[n]["content"])
            self._notes.tell("kept", KEPT % example.id)
        for number, key in lost(answer, whole[len(bare) :]):
            self._leave_out(example, answer[number], key, f"turn {number} of the response")
        return whole

    def _require_prompt(self, example: Example, turns: Turns, text: str) -> None:
        """Raise Refusal where the text of a prompt does not hold what its turns and tools say."""
        for number, key in lost(turns, text):
            said = turns[number]
            after = said["content"].rpartition(THOUGHT)[2].strip()
            if said["role"] == "assistant" and (
                key in REASONING or (key == "content" and THOUGHT in said["content"] and stands(after, text))
            ):
                self._notes.tell("thoughts", THOUGHTS % example.id)
            else:
                self._leave_out(example, said, key, f"turn {number} of the prompt")
        if names := tools_lost(tools_of(example), text):
            raise Refusal("the chat template leaves out its tools", ", ".join(names))

    def _leave_out(self, example: Example, said: Message, key: str, place: str) -> None:
        """Tell of a key aside that is left out; raise Refusal for other texts."""
        if key in ASIDE:
            self._notes.tell(key, ASIDES % (example.id, key))
            return
        which = "" if key == "content" else f"'{key}' of "
        where: Any = said[key]
        raise Refusal(f"the chat template leaves out {which}{place} ({said['role']})", f"{where!r:.60}")

    def _fitting(self, prompt: Turns) -> Turns:
        return folded(prompt) if prompt[0]["role"] == "system" and self._folds else prompt

    @cached_property
    def _folds(self) -> bool:
        """Whether the template has no place for system turns; a warning says so once."""
        misplaces = misplaces_system(self._render)
        if misplaces:
            self._notes.tell("folded", FOLDED)
        return misplaces

    @cached_property
    def _opening(self) -> str:
        """The mark with which prompts end, such as <think>, that is no part of the text of an answer without it."""
        ask = turn("user", "Sky?")
        try:
            asked = self._render.one([ask], add_generation_prompt=True)
            before = self._render.one([ask, turn("assistant", CONTENT)]).partition(CONTENT)[0]
        except Refusal:
            return ""
        if asked.startswith(before):
            return asked[len(before) :]
        return asked[asked.rindex(THINK) :] if asked.rstrip().endswith(THINK) else ""

    @cached_property
    def _writes_the_day(self) -> bool:
        return writes_the_day(self._render)


def prompts_of(example: Example) -> list[Turns]:
    """The prompts of a list: one for all responses, or one for each where the row has `meta["prompts"]`."""
    return per_response(example, "prompts") or [example.prompt]


def tools_of(example: Example) -> list[Any]:
    """The JSON schemas of the tools that the prompts of a list offer, `meta["tools"]`; an empty list for none."""
    tools = example.meta.get("tools")
    return tools if isinstance(tools, list) else []


def turns_of(response: Turns | str) -> Turns:
    """A response as a list of turns; a string is one assistant turn."""
    return [{"role": "assistant", "content": response}] if isinstance(response, str) else response


def folded(turns: Turns) -> Turns:
    r"""The turns without their system turn, whose text goes to the head of the user turn after it.

    >>> folded([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sky?"}])
    [{'role': 'user', 'content': 'Be brief.\n\nSky?'}]
    """
    system, *rest = turns
    follows = rest[:1] if rest and rest[0]["role"] == "user" else []
    texts = [said["content"] for said in (system, *follows) if said["content"]]
    return [{"role": "user", "content": "\n\n".join(texts)}, *rest[len(follows) :]]


def _text(rendered: str | Refusal) -> str:
    if isinstance(rendered, Refusal):
        raise rendered
    return rendered


def _each(prompts: list[Any], answers: list[Turns]) -> list[Any]:
    """The prompt of each response, `[K]`."""
    return prompts if len(prompts) > 1 else prompts * len(answers)
