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
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from bench_captions import spoken, word_error_rate
from bench_common import AMPHI, MEDIA, MODELS, ROOT, centile, evaluate, heading, ms, pcm, table, verdict

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

    def events(self, language: str) -> str:
        """A live's event log in which every utterance is a cue; its clock began with 1970."""
        utterance, lines = 1, []
        for rev, (at, said) in enumerate(self.said, 1):
            words = [word | {"start": word["start"] / SECOND, "end": word["end"] / SECOND} for word in said["words"]]
            texts = [word["text"] for word in words]
            start, end = (words[0]["start"], words[-1]["end"]) if words else (0.0, 0.0)
            cue = {"type": "cue", "lang": language, "id": utterance, "rev": rev, "final": said["last"], "start": start, "end": end,
                   "start_pdt": stamp(start), "text": " ".join(texts), "stable_len": len(" ".join(texts[:said["stable"]])),
                   "words": words, "source": "asr", "received": stamp(at)}
            lines.append(json.dumps(cue) + "\n")
            utterance += said["last"]
        return "".join(lines)


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
        """Processor seconds so far of all threads, those that have ended too (`clock_getcpuclockid(3)`)."""
        return time.clock_gettime(~self.process.pid << 3 | 2)


def stamp(seconds: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def last_words(heard: Heard) -> list[float]:
    """Seconds from the end of each utterance to its final text."""
    return [at - said["words"][-1]["end"] / SECOND for at, said in heard.said if said["last"] and said["words"]]


def told(heard: Heard, lags: dict[str, dict[str, float]]) -> tuple[str, ...]:
    """Cells of a table: lags, processor, and stable words that the end would have changed."""
    cells = [f"{ms(lags[kind]['p50'])} / {ms(lags[kind]['p95'])}" for kind in ("shown", "stable", "last")]
    cells.append(f"{ms(centile(last_words(heard), 0.5))} / {ms(centile(last_words(heard), 0.95))}")
    early = f"{heard.overruled} of {heard.stable}" if heard.stable else "–"
    return (*cells, f"{heard.cpu / heard.seconds:.2f}", early)


HEAD = ["sound", "word → shown, p50 / p95", "→ stable", "→ final", "end of an utterance → final", "cores", "stable words overruled"]


def whisper() -> None:
    """The bundled lecture, as it is and less easy."""
    heading("Words of a live, Whisper tiny.en: the bundled lecture, one thread")
    kinds = {
        "the lecture": [],
        "with noise 20 dB below it": ["-f", "lavfi", "-i", "anoisesrc=color=pink:seed=1:amplitude=0.02", "-filter_complex",
                                      "[0:a]aresample=16000[a];[a][1:a]amix=duration=first:normalize=0"],
    }
    rows, met = [], ""
    with TemporaryDirectory(prefix="amphi-bench-") as scratch:
        events, times = Path(scratch) / "events.jsonl", Path(scratch) / "times.json"
        times.write_text(json.dumps(spoken()))
        for name, options in kinds.items():
            with Engine("whisper", "whisper-tiny.en", "en") as engine:
                heard = engine.hear(sound(MEDIA / "lecture-en.opus", options))
            events.write_text(heard.events("en"))
            rate = word_error_rate(events)
            lags = evaluate("log", events, "--reference-times", times)["tracks"]["en"]["reference"]["words"]
            rows.append((f"{name}; word error rate {rate:.1%}", *told(heard, lags)))
            stable = lags["stable"]
            good = stable["p50"] <= 1.0 and stable["p95"] <= 1.8 and rate <= 0.05 and heard.cpu / heard.seconds <= 0.3
            met = met or verdict(good)
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
        with TemporaryDirectory(prefix="amphi-bench-") as scratch:
            events = Path(scratch) / "events.jsonl"
            events.write_text(heard.events("ko"))
            rows.append((name, *told(heard, evaluate("log", events)["tracks"]["ko"]["lag"])))
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
