"""How soon words are shown, stable and final in a live, with an engine alone on the machine.

The engine's own process is spoken to directly. It hears the sound as a live brings it, 100 ms at a time, on a clock of
its own: sound takes as long as it lasts, and work as long as the processor time it took. Figures therefore do not
depend on what else the machine does, and two versions of an engine can be compared in a minute.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import bench_captions
from bench_common import AMPHI, MEDIA, MODELS, ROOT, centile, heading, ms, pcm, table, verdict
from bench_text import compare, tokens, words

RATE = 16_000
BLOCK = RATE // 10
SECOND = 1_000_000_000


@dataclass
class Heard:
    """What an engine made of a sound, with the times of its own clock."""

    # Hypotheses as they came.
    said: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    # Words called stable before their utterance was over, and how many of them its end would have changed.
    stable: int = 0
    overruled: int = 0
    seconds: float = 0.0
    cpu: float = 0.0

    def finals(self) -> list[tuple[float, dict[str, Any]]]:
        """Every word of the utterances that are over, with the time it became final."""
        return [(at, word) for at, said in self.said if said["last"] for word in said["words"]]

    def rows(self) -> Iterator[tuple[str, float, float, float]]:
        """Each final word: its text, and when it was first in its place, stable, and final."""
        shown: list[tuple[str, float]] = []
        stable: list[float] = []
        for at, said in self.said:
            texts = [word["text"] for word in said["words"]]
            kept = [before if before[0] == text else (text, at) for before, text in zip(shown, texts, strict=False)]
            shown = kept + [(text, at) for text in texts[len(kept):]]
            stable += [at] * (said["stable"] - len(stable))
            if said["last"]:
                yield from ((text, first, settled, at) for (text, first), settled in zip(shown, stable, strict=False))
                shown, stable = [], []


class Engine:
    """`amphi-engine`, one stream of it."""

    def __init__(self, engine: str, model: str, language: str) -> None:
        command = [AMPHI.with_name("amphi-engine"), "--engine", engine, "--model", MODELS / model, "--language", language]
        self.process = subprocess.Popen([*command, "--threads", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert self._answer()["type"] == "ready"
        self._ask(struct.pack("<BIB", 1, 1, 1) + language.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def hear(self, samples: bytes) -> Heard:
        """A live of this sound."""
        heard, clock, sent, before = Heard(seconds=len(samples) / 2 / RATE), 0.0, 0, self._cpu()
        while sent < len(samples):
            # What has sounded by now, at least a block, at most what a message holds.
            due = min(max(int(clock * RATE) // BLOCK * BLOCK * 2, sent + 2 * BLOCK), sent + 2 * RATE)
            clock = max(clock, due / 2 / RATE)
            start = sent // 2 * SECOND // RATE
            clock += self._exchange(heard, clock, struct.pack("<BIq", 2, 1, start) + samples[sent:due])
            sent = due
        self._exchange(heard, clock, struct.pack("<BI", 3, 1))
        heard.cpu = self._cpu() - before
        return heard

    def _exchange(self, heard: Heard, clock: float, request: bytes) -> float:
        """Asks and waits; the processor time it took."""
        before, said = self._cpu(), []
        self._ask(request)
        while (answer := self._answer())["type"] not in ("progress", "finished"):
            assert answer["type"] in ("heard", "tally"), answer
            if answer["type"] == "heard":
                said.append(answer["hypothesis"])
            else:
                heard.stable += answer["tally"]["stable"]
                heard.overruled += answer["tally"]["overruled"]
        spent = self._cpu() - before
        heard.said += [(clock + spent, hypothesis) for hypothesis in said]
        return spent

    def _ask(self, body: bytes) -> None:
        self.process.stdin.write(struct.pack("<I", len(body)) + body)
        self.process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        (length,) = struct.unpack("<I", self.process.stdout.read(4))
        return json.loads(self.process.stdout.read(length))

    def _cpu(self) -> float:
        """Processor seconds of all threads so far (the kernel's sched-stats: nanoseconds on a processor come first)."""
        spent = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):
                spent += int((task / "schedstat").read_text().split()[0])
        return spent / SECOND


def lags(heard: Heard, ends: Sequence[float | None]) -> list[tuple[str, list[float]]]:
    """Seconds from the end of each final word (none: not known) to the moment it is shown, stable, final."""
    rows = list(zip(heard.rows(), ends, strict=True))
    return [(kind, [row[place] - end for row, end in rows if end is not None])
            for place, kind in ((1, "shown"), (2, "stable"), (3, "final"))]


def last_words(heard: Heard) -> list[float]:
    """Seconds from the end of each utterance to its final text."""
    return [at - said["words"][-1]["end"] / SECOND for at, said in heard.said if said["last"] and said["words"]]


def spoken() -> list[tuple[str, float]]:
    """The lecture's words as they are compared, and when each ends."""
    said = [word for sentence in bench_captions.spoken() for word in sentence["words"]]
    return [(token.word, word["end"]) for word in said for token in tokens(word["text"])]


def known_ends(heard: Heard) -> list[float | None]:
    """When each final word ended by the lecture's times; none where it was misheard."""
    truth = spoken()
    said = [(token.word, nth) for nth, (_, word) in enumerate(heard.finals()) for token in tokens(word["text"])]
    _, pairs = compare([word for word, _ in truth], [word for word, _ in said])
    ends: list[float | None] = [None] * len(heard.finals())
    for true, ours in pairs:
        ends[said[ours][1]] = truth[true][1]
    return ends


def told(heard: Heard, ends: Sequence[float | None]) -> tuple[str, ...]:
    """Cells of a table: lags, processor, and stable words that the end would have changed."""
    cells = [f"{ms(centile(seconds, 0.5))} / {ms(centile(seconds, 0.95))}"
             for _, seconds in [*lags(heard, ends), ("", last_words(heard))]]
    early = f"{heard.overruled} of {heard.stable}" if heard.stable else "–"
    return (*cells, f"{heard.cpu / heard.seconds:.2f}", early)


HEAD = ["sound", "word → shown, p50 / p95", "→ stable", "→ final", "end of an utterance → final", "cores", "stable words overruled"]


def whisper() -> None:
    """The bundled lecture, as it is and less easy."""
    heading("Words of a live, Whisper tiny.en: the bundled lecture, one thread")
    truth = [word for word, _ in spoken()]
    kinds = {
        "the lecture": [],
        "with noise 20 dB below it": ["-f", "lavfi", "-i", "anoisesrc=color=pink:seed=1:amplitude=0.02", "-filter_complex",
                                      "[0:a]aresample=16000[a];[a][1:a]amix=duration=first:normalize=0"],
    }
    rows, met = [], ""
    for name, options in kinds.items():
        with Engine("whisper", "whisper-tiny.en", "en") as engine:
            heard = engine.hear(sound(MEDIA / "lecture-en.opus", options))
        rate, _ = compare(truth, words(" ".join(word["text"] for _, word in heard.finals())))
        ends = known_ends(heard)
        rows.append((f"{name}; word error rate {rate:.1%}", *told(heard, ends)))
        if not met:
            stable = lags(heard, ends)[1][1]
            good = centile(stable, 0.5) <= 1.0 and centile(stable, 0.95) <= 1.8 and rate <= 0.05
            met = verdict(good and heard.cpu / heard.seconds <= 0.3)
    table(HEAD, rows)
    print(f"Target for the lecture as it is: stable ≤ 1.0 / 1.8 s, word error rate ≤ 5 %, ≤ 0.30 cores: {met}.\n")


def vosk() -> None:
    """The demo's Korean clip, and the other one."""
    heading("Words of a live, Vosk: vosk-ko")
    rows = []
    clips = {
        "the demo's Korean clip, looped four times": (ROOT / "demo" / "korean.flv", 4),
        "korean-espeak.flac": (MEDIA / "korean-espeak.flac", 1),
        "the English lecture, which it cannot understand": (MEDIA / "lecture-en.opus", 1),
    }
    for name, (file, turns) in clips.items():
        with Engine("vosk", "vosk-ko", "ko") as engine:
            heard = engine.hear(pcm(file) * turns)
        rows.append((name, *told(heard, [word["end"] / SECOND for _, word in heard.finals()])))
    table(HEAD, rows)
    print("Ends of words are the engine's own. Both clips are a speech synthesiser's, of which the model is unsure: a word counts "
          "as stable early only where it is sure.\n")


def sound(file: Path, options: Sequence[str]) -> bytes:
    """A file's sound, with filters."""
    command = ["ffmpeg", "-v", "error", "-i", file, *options, "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


if __name__ == "__main__":
    whisper()
    vosk()
