"""Docstrings as documents: terms, counts and tf-idf weights (Salton and Buckley, 1988)."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cenote.demo.parsing import parse

__all__ = ["Hit", "Index", "Page", "index_of", "read_page", "vocabulary_of"]

_WORD = re.compile(r"[a-z]{3,}")
_COMMON_WORDS = """
    and any are but can for from has have not one the this that then there use used was when which will
    with you your its all may must see two also each other into only than these they such been does
    return returns returned none true false self value values object called default given
"""
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True)
class Page:
    """The docstrings of a module, counted.

    Attributes:
        module: Its name.
        summary: The first line of its own docstring.
        terms: How often each term occurs.
        length: How many terms there are.
    """

    module: str
    summary: str
    terms: Mapping[str, int]
    length: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A module that a search found.

    Attributes:
        module: Its name.
        score: How well it fits; only the order has a meaning.
        summary: The first line of its docstring.
    """

    module: str
    score: float
    summary: str


@dataclass(frozen=True, slots=True)
class Index:
    """An inverted index: where each term occurs.

    Attributes:
        postings: For each term the modules that use it, each with the term's share of its docstrings.
        summaries: The first docstring line of each module.
    """

    postings: Mapping[str, Sequence[tuple[str, float]]]
    summaries: Mapping[str, str]

    def search(self, query: str, vocabulary: Mapping[str, float], limit: int) -> tuple[Hit, ...]:
        """Return the modules that fit a query best, the best first."""
        scores: dict[str, float] = {}
        for word in _WORD.findall(query.lower()):
            weight = vocabulary.get(word, 0.0)
            for module, share in self.postings.get(word, ()):
                scores[module] = scores.get(module, 0.0) + share * weight
        best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        return tuple(Hit(module, round(score, 6), self.summaries[module]) for module, score in best)


def read_page(module: str, source: bytes) -> Page:
    """Parse a module and count the terms of its docstrings.

    Raises:
        SyntaxError: The source does not parse.
    """
    tree = parse(module, source)
    texts = [
        ast.get_docstring(node, clean=False) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    terms: Counter[str] = Counter()
    for text in texts:
        terms.update(word for word in _WORD.findall(text.lower()) if word not in _COMMON)
    summary = (ast.get_docstring(tree) or module).strip().partition("\n")[0]
    return Page(module, summary, dict(terms), terms.total())


def vocabulary_of(pages: Sequence[Page]) -> dict[str, float]:
    """Return the inverse document frequency of every term that at least two pages have."""
    spread: Counter[str] = Counter()
    for page in pages:
        spread.update(page.terms.keys())
    return {term: math.log(1 + len(pages) / count) for term, count in sorted(spread.items()) if count > 1}


def index_of(pages: Sequence[Page]) -> Index:
    """Return the inverted index of some pages."""
    postings: dict[str, list[tuple[str, float]]] = {}
    for page in pages:
        for term, count in page.terms.items():
            # Short pages would win every search without the constant.
            postings.setdefault(term, []).append((page.module, count / (20 + page.length)))
    return Index(postings, {page.module: page.summary for page in pages})
