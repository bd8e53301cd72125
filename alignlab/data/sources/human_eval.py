"""HumanEval (arXiv:2107.03374), schema of openai/human-eval: functions to write, with their unit tests.

task_id              str
prompt               str   imports, the signature and its docstring
entry_point          str   the name of the function
canonical_solution   str   its body
test                 str   a program that defines check(candidate)
"""

import ast
import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from alignlab.data.reading.rows import RowError, column, user
from alignlab.settings import Count
from alignlab.types import Example

ASK = (
    "Complete this Python function. Answer with the whole function in one block of code.\n\n```python\n{}```"
)
SWAPPED: dict[type, type] = {
    **{
        ast.Lt: ast.GtE,
        ast.GtE: ast.Lt,
        ast.Gt: ast.LtE,
        ast.LtE: ast.Gt,
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
    },
    **{
        ast.Add: ast.Sub,
        ast.Sub: ast.Add,
        ast.Mult: ast.Add,
        ast.Mod: ast.FloorDiv,
        ast.And: ast.Or,
        ast.Or: ast.And,
    },
}
"""Operators, and what stands in their place in a changed program."""


def convert(row: Mapping[str, Any], *, mutants: Count = 3) -> Example:
    """Convert a task to its solution and up to `mutants` copies, each changed at one place; tests go to `meta`.

    The label is 1 for the solution and 0 for copies, which may be as right: `judge=unit_tests` finds out.
    """
    begun, solution = column(row, "prompt", str), column(row, "canonical_solution", str)
    try:
        tree = ast.parse(begun + solution)
    except SyntaxError as error:
        raise RowError("canonical_solution", f"is no Python behind its prompt: {error.msg}") from error
    name = column(row, "task_id", str)
    changed = [*mutated(tree, column(row, "entry_point", str))]
    random.Random(name).shuffle(changed)
    programs = [begun + solution, *changed[:mutants]]
    return Example(
        user(ASK.format(begun)),
        [f"```python\n{program.strip()}\n```" for program in programs],
        [1.0] + [0.0] * (len(programs) - 1),
        id=name,
        meta={
            "source": "human_eval",
            "tests": column(row, "test", str),
            "entry_point": column(row, "entry_point", str),
            "begun": begun,
        },
    )


def mutated(tree: ast.Module, name: str) -> Iterator[str]:
    """Yield a program for each place of a function where an operator, a whole number or a truth value can be another.

    >>> [*mutated(ast.parse("def f(a):\\n    return a + 1"), "f")]
    ['def f(a):\\n    return a - 1', 'def f(a):\\n    return a + 2']
    """
    for place, node in enumerate(ast.walk(_function(tree, name))):
        changed = deepcopy(tree)
        copy = [*ast.walk(_function(changed, name))][place]
        if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
            copy.ops[0] = SWAPPED[type(node.ops[0])]()  # type: ignore[attr-defined]
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPPED:
            copy.op = SWAPPED[type(node.op)]()  # type: ignore[attr-defined]
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            copy.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[attr-defined]
        else:
            continue
        yield ast.unparse(changed)


def _function(tree: ast.Module, name: str) -> ast.AST:
    """The function of this name, the last where there are several."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else tree
