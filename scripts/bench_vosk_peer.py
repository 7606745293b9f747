"""What PyPI's vosk makes of a file: `bench_vosk_peer.py MODEL_DIR FILE` prints its words as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import vosk

# 100 ms; words depend on how the sound is cut.
BLOCK = 3_200


def main(model: str, file: str) -> None:
    """Decodes with ffmpeg, recognises, prints."""
    command = ["ffmpeg", "-v", "error", "-i", file, "-ac", "1", "-ar", "16000", "-f", "s16le", "-"]
    samples = subprocess.run(command, capture_output=True, check=True).stdout
    vosk.SetLogLevel(-1)
    recognizer = vosk.KaldiRecognizer(vosk.Model(model), 16_000)
    recognizer.SetWords(True)
    heard = []
    for at in range(0, len(samples), BLOCK):
        if recognizer.AcceptWaveform(samples[at : at + BLOCK]):
            heard += json.loads(recognizer.Result()).get("result", [])
    heard += json.loads(recognizer.FinalResult()).get("result", [])
    print(json.dumps(heard))


if __name__ == "__main__":
    main(*sys.argv[1:])
