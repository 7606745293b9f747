"""What PyPI's vosk makes of a file: `bench_vosk_peer.py MODEL_DIR FILE` prints its words as JSON.

With `--partials` it prints what vosk-server would have answered to each block: utterances, each with its partials
(`[seconds heard, words]`), those of the lattice, its final words, and the seconds heard by then.

With `--streams N` it hears N streams of it at once as vosk-server does, one task of a thread pool for each block of each
stream, and prints the processor seconds that took: `{"cpu":12.3}`. FILE may be `-`: raw samples on standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import json
import os
import subprocess
import sys
import time
from typing import Any

import vosk

# 100 ms; words depend on how the sound is cut.
BLOCK = 3_200


def samples(file: str) -> bytes:
    """Decoded by ffmpeg."""
    if file == "-":
        return sys.stdin.buffer.read()
    command = ["ffmpeg", "-v", "error", "-i", file, "-ac", "1", "-ar", "16000", "-f", "s16le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def words(model: vosk.Model, sound: bytes) -> list[dict[str, Any]]:
    """One stream to its end."""
    recognizer = vosk.KaldiRecognizer(model, 16_000)
    recognizer.SetWords(True)
    heard = []
    for at in range(0, len(sound), BLOCK):
        if recognizer.AcceptWaveform(sound[at : at + BLOCK]):
            heard += json.loads(recognizer.Result()).get("result", [])
    return heard + json.loads(recognizer.FinalResult()).get("result", [])


def utterances(model: vosk.Model, sound: bytes) -> list[dict[str, Any]]:
    """One stream, utterance by utterance, with everything that was said on the way."""
    recognizer = vosk.KaldiRecognizer(model, 16_000)
    recognizer.SetWords(True)
    heard, path, lattice = [], [], []

    def end(result: str, seconds: float) -> None:
        nonlocal path, lattice
        heard.append({"path": path, "lattice": lattice, "words": json.loads(result).get("result", []), "at": seconds})
        path, lattice = [], []

    for at in range(0, len(sound), BLOCK):
        block = sound[at : at + BLOCK]
        seconds = (at + len(block)) / 32_000
        if recognizer.AcceptWaveform(block):
            end(recognizer.Result(), seconds)
            continue
        for said, words in ((path, False), (lattice, True)):
            recognizer.SetPartialWords(words)
            said.append([seconds, json.loads(recognizer.PartialResult())["partial"].split()])
    end(recognizer.FinalResult(), len(sound) / 32_000)
    return heard


def answer(recognizer: vosk.KaldiRecognizer, block: bytes) -> str:
    """What vosk-server answers to a block (`process_chunk` of its asr_server.py)."""
    return recognizer.Result() if recognizer.AcceptWaveform(block) else recognizer.PartialResult()


async def stream(model: vosk.Model, pool: concurrent.futures.Executor, sound: bytes) -> None:
    """One client of vosk-server, without the websocket."""
    recognizer, loop = vosk.KaldiRecognizer(model, 16_000), asyncio.get_running_loop()
    recognizer.SetWords(True)
    for at in range(0, len(sound), BLOCK):
        await loop.run_in_executor(pool, answer, recognizer, sound[at : at + BLOCK])
    await loop.run_in_executor(pool, recognizer.FinalResult)


async def server(model: vosk.Model, sound: bytes, count: int) -> float:
    """Streams at different places of the same sound."""
    before = time.process_time()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        shifts = [len(sound) * nth // count // BLOCK * BLOCK for nth in range(count)]
        await asyncio.gather(*(stream(model, pool, sound[shift:] + sound[:shift]) for shift in shifts))
    return time.process_time() - before


def main() -> None:
    """Reads, hears, prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int)
    parser.add_argument("--partials", action="store_true")
    parser.add_argument("model")
    parser.add_argument("file")
    options = parser.parse_args()
    sound = samples(options.file)
    vosk.SetLogLevel(-1)
    model = vosk.Model(options.model)
    if options.streams:
        print(json.dumps({"cpu": asyncio.run(server(model, sound, options.streams))}))
    elif options.partials:
        print(json.dumps(utterances(model, sound)))
    else:
        print(json.dumps(words(model, sound)))


if __name__ == "__main__":
    main()
