"""The speech engines beside the Python packages people use: the same words, and the time they take."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_common import AMPHI, MEDIA, MODELS, heading, ms, pcm, table, verdict
from bench_text import compare, words
from faster_whisper import WhisperModel

ROUNDS, VOSK_ROUNDS = 5, 3
PEER = Path(__file__).with_name("bench_vosk_peer.py")
VOSK, WHISPER = "vosk-ko", "whisper-tiny.en"
# The Korean clip so many times over: what is left beyond one is decoding without start-up.
TURNS = 8
# Frames of 10 ms: what Whisper was trained on, and what the engine gives it (speech, 7 s of silence, 15 s at least).
FULL_WINDOW = 3000


def own_window(frames: int) -> int:
    """The window that the engine takes for so much speech."""
    return min(max(frames + 700, 1500), FULL_WINDOW) & ~1


def timed(command: list[str | Path]) -> tuple[float, str]:
    """Seconds a command takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr}")
    return seconds, done.stdout


def vosk() -> None:
    """The same words as PyPI's vosk, and the time of both."""
    heading("Vosk: `amphi transcribe` and PyPI's vosk 0.3.45, vosk-ko, dither 0, blocks of 100 ms, one process each")
    clip = MEDIA / "korean-espeak.flac"
    seconds = len(pcm(clip)) / 32_000
    with tempfile.TemporaryDirectory() as scratch:
        long = Path(scratch) / "long.flac"
        subprocess.run(["ffmpeg", "-v", "error", "-stream_loop", str(TURNS - 1), "-i", clip, long], check=True)
        ours: dict[Path, list[float]] = {clip: [], long: []}
        theirs: dict[Path, list[float]] = {clip: [], long: []}
        rows = []
        for _ in range(VOSK_ROUNDS):
            for file in (clip, long):
                spent, said = timed(
                    [AMPHI, "transcribe", file, "--model", VOSK, "--language", "ko", "--format", "json"])
                ours[file].append(spent)
                spent, reference = timed([sys.executable, PEER, MODELS / VOSK, file])
                theirs[file].append(spent)
        # The words of the last round: those of the long file.
        a, b = json.loads(said)["words"], json.loads(reference)
        same = [word["text"] for word in a] == [word["word"] for word in b]
        apart = max((abs(x["start"] - y["start"]) for x, y in zip(a, b, strict=False)), default=0.0) if same else None
    for name, times in (("whole command, the clip", lambda t: t[clip]), (f"whole command, {TURNS} times the clip", lambda t: t[long]),
                        ("decoding alone (the difference)", lambda t: [x - y for x, y in zip(t[long], t[clip], strict=True)])):
        us, they = statistics.median(times(ours)), statistics.median(times(theirs))
        rows.append((name, f"{us:.2f} s", f"{they:.2f} s", f"{us / they:.2f}×"))
    table(["same machine, in turns", "ours", "PyPI vosk", "ratio"], rows)
    shift = "" if apart is None else f", and they start at the same times (at most {ms(apart)} apart)"
    print(f"Same words: **{'yes' if same else 'no'}** ({len(a)} and {len(b)} words in {seconds * TURNS:.0f} s of sound{shift}). "
          f"Medians of {VOSK_ROUNDS} rounds.\n")


class Engine:
    """`benches/whisper.rs`: one whole call of our engine's code at a time."""

    def __init__(self) -> None:
        build = subprocess.run(
            ["cargo", "build", "--locked", "--release", "--bench", "whisper", "--message-format", "json"],
            stdout=subprocess.PIPE, text=True, check=True,
        )
        made = [json.loads(line) for line in build.stdout.splitlines() if line.startswith("{")]
        binary = next(m["executable"] for m in made if m.get("target", {}).get("name") == "whisper" and m.get("executable"))
        self.process = subprocess.Popen(
            [binary, MODELS / WHISPER, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, window: int, file: Path) -> tuple[float, str]:
        """Seconds and text."""
        print(window, file, file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return answer["seconds"], answer["text"]

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def clips(scratch: Path) -> Iterator[tuple[str, Path, str]]:
    """Name, raw samples and text of each: sentences of the lecture joined to 8 to 12 s, and jfk.flac."""
    yield "jfk.flac", write(scratch / "jfk", pcm(MEDIA / "jfk.flac")), (
        "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
    )
    sound, held = pcm(MEDIA / "lecture-en.opus"), []
    for sentence in json.loads((MEDIA / "lecture-en.json").read_text()):
        held.append(sentence)
        if sentence["end"] - held[0]["start"] >= 8:
            first, last = (round(held[n][edge] * 16_000) * 2 for n, edge in ((0, "start"), (-1, "end")))
            name = f"lecture {held[0]['start']:.0f}–{held[-1]['end']:.0f} s"
            yield name, write(scratch / f"{first}", sound[first:last]), " ".join(part["text"] for part in held)
            held = []


def write(file: Path, samples: bytes) -> Path:
    """A file of raw samples."""
    file.write_bytes(samples)
    return file


def whisper() -> None:
    """Whole calls on the same clips, in turns."""
    heading("Whisper: one whole call, tiny.en int8, greedy, with word times, one thread, in turns")
    peer = WhisperModel(str(MODELS / WHISPER), device="cpu", compute_type="int8", cpu_threads=1)
    engine = Engine()
    rows, sums, texts = [], np.zeros(3), ([], [], [])
    with tempfile.TemporaryDirectory() as scratch:
        material = list(clips(Path(scratch)))
        for name, file, _ in material:
            samples = np.fromfile(file, dtype=np.int16).astype(np.float32) / 32768
            spent: list[list[float]] = [[], [], []]
            for turn in range(ROUNDS + 1):
                own = engine.call(own_window(len(samples) // 160), file)
                full = engine.call(FULL_WINDOW, file)
                began = time.perf_counter()
                segments, _ = peer.transcribe(
                    samples, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False,
                    without_timestamps=True, word_timestamps=True,
                )
                said = " ".join(segment.text for segment in segments)
                # The first turn warms up.
                if turn:
                    for list_, seconds in zip(spent, (own[0], full[0], time.perf_counter() - began), strict=True):
                        list_.append(seconds)
            for all_, text in zip(texts, (own[1], full[1], said), strict=True):
                all_.extend(words(text))
            medians = np.array([statistics.median(times) for times in spent])
            sums += medians
            rows.append((f"{name} ({len(samples) / 16_000:.1f} s)", *(f"{value:.3f} s" for value in medians),
                         f"{medians[0] / medians[2]:.2f}×", f"{medians[1] / medians[2]:.2f}×"))
    engine.close()
    rows.append(("**all**", *(f"**{value:.2f} s**" for value in sums), f"**{sums[0] / sums[2]:.2f}×**", f"**{sums[1] / sums[2]:.2f}×**"))
    truth_words = words(" ".join(truth for _, _, truth in material))
    rows.append(("word error rate", *(f"{compare(truth_words, all_)[0]:.1%}" for all_ in texts), "", ""))
    table(["clip", "ours, as in a live", "ours, 30 s window", "faster-whisper 1.2.1", "ratio", "ratio, same window"], rows)
    print(f"Medians of {ROUNDS} turns. Target ≤ 1.0×: {verdict(sums[0] <= sums[2])}; on the same 30 s window "
          f"{verdict(sums[1] <= sums[2])}. A live's windows are 15 s and more, with 7 s of silence behind the speech.\n")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    vosk()
    whisper()
