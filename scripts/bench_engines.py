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
from bench_common import AMPHI, MEDIA, MODELS, TICKS, evaluate, heading, ms, pcm, stat, table, verdict
from faster_whisper import WhisperModel

# Which columns of the Whisper table are divided by which.
PAIRS = ((0, 3), (1, 3), (1, 2))
ROUNDS, VOSK_ROUNDS = 3, 3
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
    """Our engine's process: one whole call of its Whisper code at a time."""

    def __init__(self) -> None:
        command = [AMPHI.with_name("amphi-engine"), "--engine", "whisper", "--model", MODELS / WHISPER, "--threads", "1", "--calls"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, window: int, file: Path) -> tuple[float, float, str]:
        """Seconds, CPU seconds and text."""
        before = self.cpu()
        print(window, file, file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return answer["seconds"], self.cpu() - before, answer["text"]

    def cpu(self) -> float:
        """CPU seconds so far, of all threads."""
        return sum(int(ticks) for ticks in stat(self.process.pid)[11:13]) / TICKS

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


def peer_call(peer: WhisperModel, samples: np.ndarray, word_times: bool) -> tuple[float, float, str]:
    """Seconds, CPU seconds and text of one whole call of faster-whisper, told to do what ours does."""
    began, before = time.perf_counter(), time.process_time()
    segments, _ = peer.transcribe(
        samples, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False,
        without_timestamps=True, word_timestamps=word_times,
    )
    said = " ".join(segment.text for segment in segments)
    return time.perf_counter() - began, time.process_time() - before, said


def word_error_rate(truth: list[str], heard: list[str]) -> float:
    """Over clips."""
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch) / "truth.txt", Path(scratch) / "heard.txt"
        for file, texts in zip(files, (truth, heard), strict=True):
            file.write_text("".join(" ".join(text.split()) + "\n" for text in texts))
        return evaluate("--reference", files[0], "--hypothesis", files[1], "--metric", "wer", "--normalise", "english")["wer"]["rate"]


def whisper() -> None:
    """Whole calls on the same clips, in turns."""
    heading("Whisper: one whole call, tiny.en int8, greedy, one thread, in turns")
    peer = WhisperModel(str(MODELS / WHISPER), device="cpu", compute_type="int8", cpu_threads=1)
    engine = Engine()
    rows, truth = [], []
    walls, cpus, texts = np.zeros(4), np.zeros(4), ([], [], [], [])
    with tempfile.TemporaryDirectory() as scratch:
        for name, file, text in clips(Path(scratch)):
            samples = np.fromfile(file, dtype=np.int16).astype(np.float32) / 32768
            turns = []
            # The first turn warms up.
            for _ in range(ROUNDS + 1):
                turns.append([engine.call(own_window(len(samples) // 160), file), engine.call(FULL_WINDOW, file),
                              peer_call(peer, samples, True), peer_call(peer, samples, False)])
            wall, cpu = (np.median([[call[n] for call in turn] for turn in turns[1:]], axis=0) for n in (0, 1))
            walls, cpus, truth = walls + wall, cpus + cpu, [*truth, text]
            for heard, call in zip(texts, turns[-1], strict=True):
                heard.append(call[2])
            ratios = (f"{wall[ours] / wall[theirs]:.2f}×" for ours, theirs in PAIRS)
            rows.append((f"{name} ({len(samples) / 16_000:.1f} s)", *(f"{value:.3f} s" for value in wall), *ratios))
    engine.close()
    for name, sums in (("**all, by the clock**", walls), ("**all, CPU time**", cpus)):
        ratios = (f"**{sums[ours] / sums[theirs]:.2f}×**" for ours, theirs in PAIRS)
        rows.append((name, *(f"**{value:.2f} s**" for value in sums), *ratios))
    rows.append(("word error rate", *(f"{word_error_rate(truth, heard):.1%}" for heard in texts), "", "", ""))
    table(["clip", "A: ours as in a live", "B: ours, 30 s window", "C: faster-whisper 1.2.1, word times", "D: faster-whisper, without",
           "A / D", "B / D", "B / C"], rows)
    print(f"Medians of {ROUNDS} turns. Target A / D ≤ 1.0×: {verdict(walls[0] <= walls[3])}. A and B give word times. A live's windows "
          "are 15 s and more, with 7 s of silence behind the speech; B does as much encoding as the peer. With word times "
          "faster-whisper decodes a second window behind the last word, so D is the fairer measure.\n")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    vosk()
    whisper()
