"""How many streams of one model a core carries: ours beside vosk-server's loop, and Whisper's.

Streams are heard in lock step: each gets 100 ms, and the next when all have taken them in. What an engine does is then
what it does in lives it keeps up with, whatever else the machine does, and processor time says how many those can be.
"""

from __future__ import annotations

import json
import os
import statistics
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from bench_common import MEDIA, MODELS, TICKS, heading, pcm, stat, table, verdict
from bench_words import BLOCK, RATE, SECOND, Engine

PEER = Path(__file__).with_name("bench_vosk_peer.py")
VOSK, WHISPER = "vosk-ko", "whisper-tiny.en"
ROUNDS = 3
# The Korean clip so many times over, with a second of silence behind each. Noise as a microphone's
# lies over all of it: digital silence, which costs Kaldi several times as much, is not what is measured.
TURNS = 3
NOISE = 8


class Streams(Engine):
    """`amphi-engine`, several streams of it."""

    def hear_all(self, sounds: list[bytes], language: str, *, live: bool) -> float:
        """Processor seconds that streams of these sounds, equally long, took from the first sample to the last word."""
        streams = range(2, len(sounds) + 2)
        for stream in streams:
            self._ask(struct.pack("<BIB", 1, stream, live) + language.encode())
        before = self._cpu()
        for at in range(0, len(sounds[0]), 2 * BLOCK):
            for stream, samples in zip(streams, sounds, strict=True):
                self._ask(struct.pack("<BIq", 2, stream, at // 2 * SECOND // RATE) + samples[at : at + 2 * BLOCK])
            self._await("progress", len(sounds))
        for stream in streams:
            self._ask(struct.pack("<BI", 3, stream))
        self._await("finished", len(sounds))
        spent = self._cpu() - before
        for stream in streams:
            self._ask(struct.pack("<BI", 4, stream))
        return spent

    def _cpu(self) -> float:
        """Processor seconds so far, of threads that have ended too."""
        return sum(int(ticks) for ticks in stat(self.process.pid)[11:13]) / TICKS

    def _await(self, kind: str, count: int) -> None:
        while count:
            answer = self._answer()
            assert answer["type"] in ("heard", "tally", kind), answer
            count -= answer["type"] == kind


def turned(sound: bytes, count: int) -> list[bytes]:
    """The sound for each of so many streams, which are at different places in it."""
    shifts = [len(sound) * nth // count // (2 * BLOCK) * 2 * BLOCK for nth in range(count)]
    return [sound[shift:] + sound[:shift] for shift in shifts]


def peer(sound: bytes, count: int) -> float:
    """Processor seconds of vosk-server's loop."""
    command = [sys.executable, PEER, "--streams", str(count), MODELS / VOSK, "-"]
    done = subprocess.run(command, input=sound, capture_output=True, check=True)
    return json.loads(done.stdout)["cpu"]


def vosk() -> None:
    """In turns with the peer."""
    heading(f"Vosk: streams a core, vosk-ko, blocks of 100 ms, medians of {ROUNDS} rounds")
    clip = np.frombuffer(pcm(MEDIA / "korean-espeak.flac") + bytes(2 * RATE), dtype=np.int16)
    samples = np.tile(clip, TURNS)[: len(clip) * TURNS // BLOCK * BLOCK].astype(np.int32)
    samples += np.random.default_rng(1).integers(-NOISE, NOISE + 1, len(samples))
    sound = samples.clip(-32_768, 32_767).astype(np.int16).tobytes()
    rows, ratios = [], []
    for count in (1, 4):
        seconds, spent = count * len(sound) / 2 / RATE, {"file": [], "live": [], "peer": []}
        for _ in range(ROUNDS):
            with Streams("vosk", VOSK, "ko") as engine:
                spent["file"].append(engine.hear_all(turned(sound, count), "ko", live=False))
                spent["live"].append(engine.hear_all(turned(sound, count), "ko", live=True))
            spent["peer"].append(peer(sound, count))
        a, b, c = (seconds / statistics.median(spent[kind]) for kind in ("file", "live", "peer"))
        rows.append((count, f"{a:.1f}", f"{b:.1f}", f"{c:.1f}", f"{a / c:.2f}×", f"{b / c:.2f}×"))
        ratios.append(b / c)
    table(["streams at once", "A: ours, final words alone", "B: ours, a live", "C: vosk-server's loop", "A / C", "B / C"], rows)
    print(f"Target B / C ≥ 1.0×: {verdict(min(ratios) >= 1.0)}. C asks for the best path after every block, without times, as a "
          "client of vosk-server hears it. B does so too, and looks at the lattice for times and for what is stable.\n")


def whisper() -> None:
    """The lecture's first half minute, many times at once."""
    heading("Whisper: streams a core, tiny.en int8, one thread")
    sound = pcm(MEDIA / "lecture-en.opus")[: 30 * 2 * RATE]
    rows = []
    for count in (1, 4, 8):
        with Streams("whisper", WHISPER, "en") as engine:
            spent = engine.hear_all(turned(sound, count), "en", live=True)
        share = spent / (count * len(sound) / 2 / RATE)
        rows.append((count, f"{1 / share:.1f}", f"{share:.3f}"))
    table(["lives at once", "lives a core", "cores for each"], rows)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    vosk()
    whisper()
