"""Words as they are compared: without casing and punctuation, numbers spelled out."""

from __future__ import annotations

import re
from typing import NamedTuple

import jiwer

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


class Token(NamedTuple):
    """A word and where it ends in its text, in characters."""

    word: str
    end: int


def tokens(text: str) -> list[Token]:
    """The words of a text."""
    found = []
    for match in re.finditer(r"\d+(?:,\d{3})*|[^\W\d_]+(?:['’][^\W\d_]+)*", text.lower()):
        digits = match.group().replace(",", "")
        spelled = spell(int(digits)) if digits.isdigit() and len(digits) < 7 else [match.group().replace("’", "'")]
        found += [Token(word, match.end()) for word in spelled]
    return found


def words(text: str) -> list[str]:
    """The words alone."""
    return [token.word for token in tokens(text)]


def spell(number: int) -> list[str]:
    """A number below a million in words: 340 is three hundred and forty."""
    for unit, name in ((1000, "thousand"), (100, "hundred")):
        if number >= unit:
            rest = number % unit
            joined = (["and"] if 0 < rest < 100 else []) + spell(rest) if rest else []
            return [*spell(number // unit), name, *joined]
    if number < 20:
        return [ONES[number]]
    return [TENS[number // 10]] + ([ONES[number % 10]] if number % 10 else [])


def compare(truth: list[str], said: list[str]) -> tuple[float, list[tuple[int, int]]]:
    """Word error rate, and which word of the truth is which of those said (where they are equal)."""
    result = jiwer.process_words(" ".join(truth), " ".join(said) or " ")
    pairs = []
    for chunk in result.alignments[0]:
        if chunk.type == "equal":
            count = chunk.ref_end_idx - chunk.ref_start_idx
            pairs += [(chunk.ref_start_idx + n, chunk.hyp_start_idx + n) for n in range(count)]
    return result.wer, pairs
