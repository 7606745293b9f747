"""Live captions of the bundled lecture: word error rate, and how long after a word its text arrives."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from bench_common import (
    AMPHI,
    LECTURE,
    MEDIA,
    MODELS,
    Captions,
    Publisher,
    Server,
    centile,
    heading,
    ms,
    pcm,
    table,
    verdict,
    wait,
)
from bench_text import Token, compare, tokens, words
from faster_whisper import WhisperModel

MODEL = "whisper-tiny.en"
TARGET = 0.08
FRAME = 160
# RMS of 10 ms, in dBFS, above which something sounds in the lecture (its pauses are silent).
AUDIBLE = -55.0


@dataclass
class Spoken:
    """A word of the lecture and when it ends, in seconds of the lecture."""

    word: str
    end: float
    # End of its sentence by the lecture's own times; none within a sentence.
    sentence_end: float | None


def spoken() -> list[Spoken]:
    """The lecture's words.

    True times are known of sentences alone. Those times include the silence the speaker's breath
    takes, so a sentence also has an audible end. Words within are spread over the audible frames of
    their sentence by their letters.
    """
    samples = np.frombuffer(pcm(MEDIA / "lecture-en.opus"), dtype=np.int16).astype(np.float64) / 32768
    whole = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    level = 10 * np.log10(np.maximum((whole**2).mean(axis=1), 1e-10))
    found = []
    for sentence in json.loads((MEDIA / "lecture-en.json").read_text()):
        said = words(sentence["text"])
        first, last = round(sentence["start"] * 100), round(sentence["end"] * 100)
        audible = first + np.flatnonzero(level[first:last] > AUDIBLE)
        letters = np.cumsum([len(word) for word in said])
        for nth, (word, until) in enumerate(zip(said, letters, strict=True)):
            frame = audible[round(until / letters[-1] * (len(audible) - 1))]
            is_last = nth + 1 == len(said)
            found.append(Spoken(word, (frame + 1) / 100, sentence["end"] if is_last else None))
    return found


def offset() -> float:
    """Seconds by which the published file's sound lies behind the lecture's times."""
    lecture, film = (np.frombuffer(pcm(file), dtype=np.int16)[: 16_000 * 60].astype(float)
                     for file in (MEDIA / "lecture-en.opus", LECTURE))
    size = 2 * len(lecture)
    match = np.fft.irfft(np.fft.rfft(film, size) * np.conj(np.fft.rfft(lecture, size)))
    best = int(np.argmax(match))
    return (best if best < size // 2 else best - size) / 16_000


def packets_offset() -> float:
    """Seconds between the published file's first packet and its first sound packet."""
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,start_time", "-of", "json", LECTURE],
        capture_output=True, text=True, check=True,
    )
    starts = {s["codec_type"]: float(s["start_time"]) for s in json.loads(probe.stdout)["streams"]}
    return starts["audio"] - min(starts.values())


def anchor(cue: dict[str, Any]) -> float:
    """Wall clock of media time 0, by the server's account."""
    return datetime.fromisoformat(cue["start_pdt"]).timestamp() - cue["start"]


class Screen:
    """What a viewer has read so far: when each word came to its place, and when it became stable."""

    def __init__(self) -> None:
        self.cues: dict[int, tuple[list[Token], int]] = {}
        self.shown: list[tuple[str, float]] = []
        self.stable: list[float] = []

    def take(self, at: float, cue: dict[str, Any]) -> None:
        """The next message."""
        self.cues[cue["id"]] = (tokens(cue["text"]), cue["stable_len"])
        line = [(token, stable) for _, (said, stable) in sorted(self.cues.items()) for token in said]
        kept = [before if before[0] == token.word else (token.word, at)
                for before, (token, _) in zip(self.shown, line, strict=False)]
        self.shown = kept + [(token.word, at) for token, _ in line[len(kept) :]]
        count = next((n for n, (token, stable) in enumerate(line) if token.end > stable), len(line))
        self.stable += [at] * (count - len(self.stable))


def live() -> tuple[list[tuple[float, dict[str, Any]]], list[dict[str, Any]], float]:
    """Publishes the lecture; the cues that arrived, the last status, and when ffmpeg sent media time 0."""
    with Server(RECONNECT_GRACE="1s", CAPTIONS__MODELS__EN=MODEL) as server:
        url = server.channel("lecture", "--language", "en")
        captions = Captions(server, "lecture", "en")
        with Publisher(LECTURE, url) as publisher:
            wait("the lecture to end", captions.ended.is_set, 240)
        status = [message for _, message in captions.received if message["type"] == "status"]
        return captions.cues(), status, publisher.began or float("nan")


def lags(truth: list[Spoken], cues: list[tuple[float, dict[str, Any]]], zero: float) -> Iterator[tuple[str, list[float]]]:
    """Rows of seconds from a word's end to its text."""
    screen = Screen()
    for at, cue in cues:
        screen.take(at, cue)
    _, pairs = compare([word.word for word in truth], [word for word, _ in screen.shown])
    shown = [(truth[t], screen.shown[s][1] - zero) for t, s in pairs]
    stable = [(truth[t], screen.stable[s] - zero) for t, s in pairs if s < len(screen.stable)]
    for kind, known in (("shown", shown), ("stable", stable)):
        yield f"last words of sentences, {kind}; true times", [
            at - word.sentence_end for word, at in known if word.sentence_end is not None]
        yield f"last words of sentences, {kind}; audible end", [
            at - word.end for word, at in known if word.sentence_end is not None]
        yield f"all words, {kind}; spread over the audible sentence", [at - word.end for word, at in known]


def batch(truth: list[str]) -> Iterator[tuple[str, float]]:
    """Word error rates of the file in one go: ours and the peer's."""
    ours = subprocess.run(
        [AMPHI, "transcribe", MEDIA / "lecture-en.opus", "--model", MODEL, "--format", "txt"],
        capture_output=True, text=True, check=True,
    )
    yield "`amphi transcribe` of the file", compare(truth, words(ours.stdout))[0]
    peer = WhisperModel(str(MODELS / MODEL), device="cpu", compute_type="int8", cpu_threads=1)
    segments, _ = peer.transcribe(str(MEDIA / "lecture-en.opus"), language="en", beam_size=1)
    yield "faster-whisper, the file, int8, beam 1", compare(truth, words(" ".join(s.text for s in segments)))[0]


def main() -> None:
    """Prints both tables."""
    heading("Live captions of the bundled lecture (tiny.en, one thread, ladder and recording on)")
    truth = spoken()
    cues, status, began = live()
    finals = {cue["id"]: cue["text"] for _, cue in cues if cue["final"]}
    said = words(" ".join(text for _, text in sorted(finals.items())))
    rate, _ = compare([word.word for word in truth], said)
    rows = [("**live, final cues at a websocket client**", f"{rate:.1%}", f"≤ {TARGET:.0%}", verdict(rate <= TARGET))]
    rows += [(name, f"{value:.1%}", "", "") for name, value in batch([word.word for word in truth])]
    table(["word error rate", "measured", "target", "met"], rows)

    anchors = [anchor(cue) for _, cue in cues]
    shift = offset() + packets_offset()
    zero = centile(anchors, 0.5) + shift
    rows = []
    for name, seconds in lags(truth, cues, zero):
        within = sum(value <= 2.0 for value in seconds) / max(1, len(seconds))
        rows.append((name, len(seconds), ms(centile(seconds, 0.5)), ms(centile(seconds, 0.95)),
                     ms(max(seconds, default=float("nan"))), f"{within:.0%}"))
    table(["end of word → text at a websocket client", "words", "p50", "p95", "max", "within 2 s"], rows)
    last = status[-1] if status else {}
    print(f"The server's own account at the end: p50 {last.get('lag_p50_ms')} ms, p95 {last.get('lag_p95_ms')} ms, "
          f"dropped {last.get('dropped')}.")
    print("Arrival by the wall clock minus (anchor + time in the lecture). The anchor is start_pdt − start of the cues "
          f"(they agree within {ms(max(anchors) - min(anchors))}); by ffmpeg's own progress it sent media time 0 "
          f"{ms(abs(began - zero + shift))} {'before' if began < zero - shift else 'after'} it. The published file's "
          f"sound lies {ms(shift)} behind the lecture's (cross-correlation).")
    print("`lecture-en.json` knows sentences: their last words have true ends. Those contain up to 0.25 s of silence, so "
          "a second row counts from the last audible 10 ms; words within a sentence are spread over its audible frames "
          "by their letters.\n")


if __name__ == "__main__":
    main()
