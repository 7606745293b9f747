"""How long after a word it is stable, beside libvosk's own delay, in sound heard.

Both get the same blocks of 100 ms and each answer counts at the end of the block it came with: no clock is involved,
and no load matters. libvosk promises nothing of a word before its utterance is over: its own delay to a word that
stands is that of its result. With hindsight it is shorter: a word of the result was there for good when it was in a
partial result and, as it turned out, in all that followed. Nobody who has the same partial results can know so that early.
Ours is counted when it is promised, and, for what viewers read, with the same hindsight.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from bench_common import MEDIA, MODELS, centile, heading, ms, pcm, table, verdict
from bench_streams import NOISE, PEER, VOSK
from bench_words import BLOCK, RATE, SECOND, Engine
from rapidfuzz.distance import Levenshtein

# The clip so often, each time with other noise, a second of silence and some more, so that its words lie elsewhere in blocks.
TURNS = 12
SHIFT = RATE // 100
# What ours may need beyond libvosk's.
MOST = 0.1


@dataclass
class Word:
    """A word of a final result, and when it was known."""

    text: str
    end: float
    known: float


def same(before: list[str], after: list[str]) -> list[tuple[int, int]]:
    """Places of words that two texts share, by a shortest way from one to the other."""
    blocks = Levenshtein.editops(before, after).as_matching_blocks()
    return [(block.a + nth, block.b + nth) for block in blocks for nth in range(block.size)]


def there(final: list[str], partials: list[tuple[float, list[str]]], at: float) -> list[float]:
    """When each word of a final result was in the partial results for good; `at` where it came with the result alone."""
    since: list[float | None] = [None] * len(final)
    for seconds, words in partials:
        has = {place for _, place in same(words, final)}
        since = [(known or seconds) if place in has else None for place, known in enumerate(since)]
    return [at if known is None else known for known in since]


def peer(sound: bytes) -> dict[str, list[Word]]:
    """libvosk's words by what they are known from."""
    done = subprocess.run([sys.executable, PEER, "--partials", MODELS / VOSK, "-"], input=sound, capture_output=True, check=True)
    known: dict[str, list[Word]] = {"path": [], "lattice": [], "result": []}
    for heard in json.loads(done.stdout):
        texts, at = [word["word"] for word in heard["words"]], heard["at"]
        times = {kind: there(texts, heard[kind], at) for kind in ("path", "lattice")} | {"result": [at] * len(texts)}
        for kind, words in known.items():
            words += [Word(word["word"], word["end"], time) for word, time in zip(heard["words"], times[kind], strict=True)]
    return known


class Live(Engine):
    """`amphi-engine`, heard block by block."""

    def words(self, sound: bytes) -> tuple[dict[str, list[Word]], int, int]:
        """Words by what they are known from; how many were stable before their end, and how many of those it would have changed."""
        known: dict[str, list[Word]] = {"shown": [], "stable": []}
        partials: list[tuple[float, list[str]]] = []
        stable: list[float] = []
        counts = [0, 0]
        for seconds, answer in self._hear(sound):
            if answer["type"] == "tally":
                counts[0] += answer["tally"]["stable"]
                counts[1] += answer["tally"]["overruled"]
                continue
            said: dict[str, Any] = answer["hypothesis"]
            texts = [word["text"] for word in said["words"]]
            partials.append((seconds, texts))
            stable += [seconds] * (said["stable"] - len(stable))
            if said["last"]:
                ends = [word["end"] / SECOND for word in said["words"]]
                for kind, times in (("shown", there(texts, partials, seconds)), ("stable", stable)):
                    known[kind] += [Word(*word) for word in zip(texts, ends, times, strict=True)]
                partials, stable = [], []
        return known, *counts

    def _hear(self, sound: bytes) -> Any:
        """Answers with the seconds heard before each."""
        for at in range(0, len(sound), 2 * BLOCK):
            block = sound[at : at + 2 * BLOCK]
            yield from self._told((at + len(block)) / 2 / RATE, struct.pack("<BIq", 2, 1, at // 2 * SECOND // RATE) + block)
        yield from self._told(len(sound) / 2 / RATE, struct.pack("<BI", 3, 1))

    def _told(self, seconds: float, request: bytes) -> Any:
        self._ask(request)
        while (answer := self._answer())["type"] not in ("progress", "finished"):
            yield seconds, answer


def delays(words: list[Word], truth: list[Word]) -> list[float]:
    """From the end of each word that both have, as libvosk times it, until it was known."""
    shared = same([word.text for word in words], [word.text for word in truth])
    return [words[ours].known - truth[theirs].end for ours, theirs in shared]


def sounds() -> bytes:
    """The Korean clip, turn after turn."""
    clip = np.frombuffer(pcm(MEDIA / "korean-espeak.flac"), dtype=np.int16)
    turns = [np.pad(clip, (0, RATE + nth * SHIFT)) for nth in range(TURNS)]
    samples = np.concatenate(turns).astype(np.int32)
    samples += np.random.default_rng(1).integers(-NOISE, NOISE + 1, len(samples))
    return samples.clip(-32_768, 32_767).astype(np.int16).tobytes()


def main() -> None:
    """Both, on the same sound."""
    heading(f"Vosk: end of a word → known, in sound heard, {VOSK}, the Korean clip {TURNS} times")
    sound = sounds()
    theirs = peer(sound)
    with Live("vosk", VOSK, "ko") as engine:
        ours, stable, overruled = engine.words(sound)
    truth = theirs["path"]
    found = {
        "libvosk: in its partial results for good, with hindsight": delays(theirs["path"], truth),
        "libvosk: in those with times (`SetPartialWords`) for good, with hindsight": delays(theirs["lattice"], truth),
        "libvosk: in its result": delays(theirs["result"], truth),
        "ours: shown for good, with hindsight": delays(ours["shown"], truth),
        "ours: stable": delays(ours["stable"], truth),
    }
    rows = [(name, len(late), ms(centile(late, 0.5)), ms(centile(late, 0.95)), ms(mean(late))) for name, late in found.items()]
    table(["", "words", "p50", "p95", "mean"], rows)
    (path, _, result, shown, promised) = found.values()
    compared = {
        "a promise beside a promise (ours stable − libvosk's result)": (promised, result),
        "hindsight beside hindsight (ours shown for good − libvosk's partial results for good)": (shown, path),
        "a promise beside hindsight (ours stable − libvosk's partial results for good)": (promised, path),
    }
    rows = []
    for name, (ours_late, theirs_late) in compared.items():
        apart = [centile(ours_late, share) - centile(theirs_late, share) for share in (0.5, 0.95)]
        rows.append((name, *map(ms, apart), *(verdict(late <= MOST + 1e-9) for late in apart)))
    table(["", "p50", "p95", f"p50 ≤ {ms(MOST)}", f"p95 ≤ {ms(MOST)}"], rows)
    print(f"Stable words that the end of their utterance would have changed: {overruled} of {stable}. "
          f"Target < 1 %: {verdict(overruled * 100 < stable)}.\n")


if __name__ == "__main__":
    main()
