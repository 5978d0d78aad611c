"""Static analysis of one module: its functions, their cyclomatic complexity, and who calls whom.

The complexity of a function is the number of its decisions plus one (McCabe, "A Complexity Measure", 1976).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from cenote.demo.parsing import parse

__all__ = ["Analysis", "Function", "analyse_source", "reachable"]

_DECISIONS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.IfExp,
    ast.ExceptHandler,
    ast.comprehension,
    ast.match_case,
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method of a module.

    Attributes:
        name: Its name, with those of the classes and functions around it.
        line: Where it begins.
        complexity: Its cyclomatic complexity.
        calls: The plain names of what it calls, sorted.
    """

    name: str
    line: int
    complexity: int
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What there is to know about a module.

    Attributes:
        module: Its name.
        lines: How many lines it has.
        functions: Its functions, the most complex first.
        imports: The modules it imports, sorted.
    """

    module: str
    lines: int
    functions: tuple[Function, ...]
    imports: tuple[str, ...]

    @property
    def complexity(self) -> int:
        """The sum of the complexity of all functions."""
        return sum(function.complexity for function in self.functions)


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.functions: list[Function] = []
        self.imports: set[str] = set()
        self._names: list[str] = []
        self._decisions: list[int] = []
        self._calls: list[set[str]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._names.append(node.name)
        self._decisions.append(0)
        self._calls.append(set())
        self.generic_visit(node)
        name = ".".join(self._names)
        calls = tuple(sorted(self._calls.pop()))
        self.functions.append(Function(name, node.lineno, 1 + self._decisions.pop(), calls))
        self._names.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast looks for this name

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()

    def visit_Call(self, node: ast.Call) -> None:
        if self._calls:
            if isinstance(node.func, ast.Name):
                self._calls[-1].add(node.func.id)
            elif isinstance(node.func, ast.Attribute):
                self._calls[-1].add(node.func.attr)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self.imports.add(node.module)

    def generic_visit(self, node: ast.AST) -> None:
        if self._decisions:
            if isinstance(node, _DECISIONS):
                self._decisions[-1] += 1
            elif isinstance(node, ast.BoolOp):
                self._decisions[-1] += len(node.values) - 1
        super().generic_visit(node)


def analyse_source(module: str, source: bytes) -> Analysis:
    """Parse a module and analyse it.

    Raises:
        SyntaxError: The source does not parse.
    """
    tree = parse(module, source)
    reader = _Reader()
    reader.visit(tree)
    functions = sorted(reader.functions, key=lambda function: (-function.complexity, function.name))
    return Analysis(module, source.count(b"\n"), tuple(functions), tuple(sorted(reader.imports)))


def reachable(analysis: Analysis, start: str) -> tuple[str, ...]:
    """Return the functions of a module that a call of ``start`` may come to, by plain name, sorted."""
    by_plain_name: dict[str, list[Function]] = {}
    for function in analysis.functions:
        by_plain_name.setdefault(function.name.rpartition(".")[2], []).append(function)
    seen: set[str] = set()
    ahead = [function for function in analysis.functions if function.name == start]
    while ahead:
        function = ahead.pop()
        if function.name not in seen:
            seen.add(function.name)
            for name in function.calls:
                ahead += by_plain_name.get(name, ())
    return tuple(sorted(seen))
