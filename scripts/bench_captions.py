"""Live captions of the bundled lecture: word error rate, and how long after a word its text arrives."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
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
    evaluate,
    heading,
    ms,
    pcm,
    table,
    verdict,
    wait,
)
from faster_whisper import WhisperModel

MODEL = "whisper-tiny.en"
TARGET = 0.065
# Seconds by which the times of words may be off.
OFF = 0.3
FRAME = 160
# RMS of 10 ms, in dBFS, above which something sounds in the lecture (its pauses are silent).
AUDIBLE = -55.0


def spoken() -> list[dict[str, Any]]:
    """The lecture's sentences with the ends of their words, as `amphi evaluate log` takes them.

    True times are known of sentences alone. Those times include the silence the speaker's breath
    takes, so a sentence also has an audible end. Words within are spread over the audible frames of
    their sentence by their letters.
    """
    samples = np.frombuffer(pcm(MEDIA / "lecture-en.opus"), dtype=np.int16).astype(np.float64) / 32768
    whole = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    level = 10 * np.log10(np.maximum((whole**2).mean(axis=1), 1e-10))
    found = []
    for sentence in json.loads((MEDIA / "lecture-en.json").read_text()):
        said = sentence["text"].split()
        first, last = round(sentence["start"] * 100), round(sentence["end"] * 100)
        audible = first + np.flatnonzero(level[first:last] > AUDIBLE)
        letters = np.cumsum([sum(map(str.isalpha, word)) for word in said])
        frames = [audible[round(until / letters[-1] * (len(audible) - 1))] for until in letters]
        words = [{"text": word, "end": float(frame + 1) / 100} for word, frame in zip(said, frames, strict=True)]
        found.append(sentence | {"words": words})
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


def live() -> tuple[list[tuple[float, dict[str, Any]]], float]:
    """Publishes the lecture; the messages that arrived, and when ffmpeg sent media time 0."""
    with Server(RECONNECT_GRACE="1s", CAPTIONS__MODELS__EN=MODEL) as server:
        url = server.channel("lecture", "--language", "en", "--translate", "pt")
        captions = Captions(server, "lecture")
        with Publisher(LECTURE, url) as publisher:
            wait("the lecture to end", captions.ended.is_set, 240)
        return captions.received, publisher.began or float("nan")


def against(events: Path, folder: Path, shift: float) -> dict[str, dict[str, Any]]:
    """What `amphi evaluate log` says of the track against the lecture's times, and against audible ends of sentences."""
    truth, times = spoken(), folder / "times.json"
    audible = [sentence | {"end": sentence["words"][-1]["end"]} for sentence in truth]
    log = {}
    for end, sentences in (("true times", truth), ("audible end", audible)):
        times.write_text(json.dumps(sentences))
        figures = evaluate("log", events, "--language", "en", "--reference-times", times, "--offset", str(shift))
        log[end] = figures["tracks"]["en"]["reference"]
    return log


def rows_of(log: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """Lags from a word's end to its text."""
    for kind, name in (("shown", "shown"), ("stable", "stable"), ("last", "final")):
        for end, known in log.items():
            yield f"last words of sentences, {name}; {end}", known["sentences"][kind]
        yield f"all words, {name}; spread over the audible sentence", log["true times"]["words"][kind]


def word_error_rate(hypothesis: Path) -> float:
    """Of any file of the lecture's words."""
    return evaluate("--reference", MEDIA / "lecture-en.txt", "--hypothesis", hypothesis, "--language", "en",
                    "--pair", "aligned", "--metric", "wer", "--normalise", "english")["wer"]["rate"]


def batch(folder: Path) -> Iterator[tuple[str, float]]:
    """Word error rates of the file in one go: ours and the peer's."""
    said = folder / "said.txt"
    subprocess.run([AMPHI, "transcribe", MEDIA / "lecture-en.opus", "--model", MODEL, "--format", "txt", "-o", said],
                   capture_output=True, check=True)
    yield "`amphi transcribe` of the file", word_error_rate(said)
    peer = WhisperModel(str(MODELS / MODEL), device="cpu", compute_type="int8", cpu_threads=1)
    segments, _ = peer.transcribe(str(MEDIA / "lecture-en.opus"), language="en", beam_size=1)
    said.write_text(" ".join(s.text for s in segments))
    yield "faster-whisper, the file, int8, beam 1", word_error_rate(said)


def translation(folder: Path, events: Path) -> Iterator[tuple[str, str, str]]:
    """chrF2 and BLEU of the Portuguese: of the clean text, and of the live captions."""
    clean = folder / "clean.txt"
    subprocess.run([AMPHI, "translate", MEDIA / "lecture-en.txt", "--from", "en", "--to", "pt", "-o", clean], check=True)
    for name, hypothesis in (("the lecture's own text", clean), ("what was heard live, final cues", events)):
        found = evaluate("--reference", MEDIA / "lecture-pt.txt", "--hypothesis", hypothesis, "--language", "pt",
                         "--metric", "chrf,bleu")
        yield name, f"{found['chrf']['score']:.1f}", f"{found['bleu']['score']:.1f}"


def main() -> None:
    """Prints the tables."""
    heading("Live captions of the bundled lecture (tiny.en, one thread; ladder, translation and recording on)")
    with TemporaryDirectory(prefix="amphi-bench-") as scratch:
        report(Path(scratch))


def report(folder: Path) -> None:
    """Publishes the lecture, then judges what came."""
    received, began = live()
    events = folder / "events.jsonl"
    lines = (message | {"received": datetime.fromtimestamp(at, UTC).isoformat()} for at, message in received)
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rate = word_error_rate(events)
    rows = [("**live, final cues at a websocket client**", f"{rate:.1%}", f"≤ {TARGET:.1%}", verdict(rate <= TARGET))]
    rows += [(name, f"{value:.1%}", "", "") for name, value in batch(folder)]
    table(["word error rate", "measured", "target", "met"], rows)

    anchors = [anchor(message) for _, message in received if message["type"] == "cue"]
    shift = offset() + packets_offset()
    zero = centile(anchors, 0.5) + shift
    log = against(events, folder, shift)
    rows = [(name, lag["words"], ms(lag["p50"]), ms(lag["p95"]), ms(lag["max"]), f"{lag['within_2s']:.0%}")
            for name, lag in rows_of(log)]
    table(["end of word → text at a websocket client", "words", "p50", "p95", "max", "within 2 s"], rows)
    off = [("first words start, from the sentence's start", log["true times"]["starts"])]
    off += [(f"last words end, from the sentence's end; {end}", known["ends"]) for end, known in log.items()]
    table(["how far off word times are, either way", "words", "p50", "p95", "max", "target", "met"],
          [(name, far["words"], ms(far["p50"]), ms(far["p95"]), ms(far["max"]), f"p95 ≤ {ms(OFF)}", verdict(far["p95"] <= OFF))
           for name, far in off])
    tracks = evaluate("log", events)["tracks"]
    table(["track", "words", "normalized erasure", "characters/s p50 / p95", "above 20/s", "below 1 s", "wider than 42"],
          [(lang, track["words"], f"{track['normalized_erasure']:.3f}",
            f"{track['reading']['speed_p50']:.1f} / {track['reading']['speed_p95']:.1f}",
            *(f"{track['reading'][key]} of {track['reading']['captions']}" for key in ("too_fast", "too_short", "too_wide")))
           for lang, track in tracks.items()])
    lags = tracks["pt"]["lag"]
    table(["Portuguese: end of word, spread over its cue → text", "words", "p50", "p95", "max", "within 2 s"],
          [(name, lags[kind]["words"], *(ms(lags[kind][key]) for key in ("p50", "p95", "max")), f"{lags[kind]['within_2s']:.0%}")
           for kind, name in (("shown", "shown"), ("stable", "stable"), ("last", "final"))])
    table(["Portuguese, fx-en-pt, against tests/media/lecture-pt.txt", "chrF2", "BLEU"], translation(folder, events))

    told = [message for _, message in received if message["type"] == "status" and message.get("lang") == "en"]
    last = told[-1] if told else {}
    share = "none" if last.get("ahead") is None else f"{last['ahead']:.0%}"
    print(f"The server's own account at the end: p50 {last.get('lag_p50_ms')} ms, p95 {last.get('lag_p95_ms')} ms, "
          f"final p95 {last.get('final_lag_p95_ms')} ms, {share} of words ahead of the nearest picture, "
          f"erasure {last.get('erasure')}, dropped {last.get('dropped')}.")
    print("Arrival by the wall clock minus (anchor + time in the lecture). The anchor is start_pdt − start of the cues "
          f"(they agree within {ms(max(anchors) - min(anchors))}); by ffmpeg's own progress it sent media time 0 "
          f"{ms(abs(began - zero + shift))} {'before' if began < zero - shift else 'after'} it. The published file's "
          f"sound lies {ms(shift)} behind the lecture's (cross-correlation).")
    print("`lecture-en.json` knows sentences: their last words have true ends. Those contain up to 0.25 s of silence, so "
          "a second row counts from the last audible 10 ms; words within a sentence are spread over its audible frames "
          "by their letters.\n")


if __name__ == "__main__":
    main()
