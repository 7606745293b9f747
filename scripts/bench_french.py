"""French as a person speaks it: how many words whisper-base gets wrong, live and of the file.

The voice is June Wallack's, of Asterisk's prompts in Canadian French (CC-BY-SA-3.0), which Debian packages at 16 kHz with
their text. What she reads is a telephone's, one sentence after the other, in a studio: it says how the model hears French
and how captions of it look, and is easier than a hall.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench_common import AMPHI, MODELS, Captions, Publisher, Server, debian, evaluate, heading, ms, pcm, table, wait
from bench_words import Engine
from faster_whisper import WhisperModel
from num2words import num2words

MODEL = "whisper-base"
PACKAGES = ("asterisk-core-sounds-fr", "asterisk-core-sounds-fr-g722")
# Seconds of speech at most, and of silence behind each sentence.
SECONDS = float(os.environ.get("SECONDS_FRENCH", "300"))
PAUSE = 0.6
# Characters a second that a person speaks. The recordings of other lengths say something else than their text.
PACE = (10.0, 22.0)
# What the script misspells, by the ear (`veuillez composez`) or otherwise, in the order it is put right.
SPELLING = {
    r"\b([Vv]euillez|pouvez|raccrocher ou|enregistrement,) (\w+)ez\b": r"\1 \2er", r"(,|nom et) appuyer sur": r"\1 appuyez sur",
    "présentemnet|presentement": "présentement", "occupes": "occupés", "v[ée]r?rouill": "verrouill", "d[ée]v[ée]r?rouill": "déverrouill",
    "ce tte": "cette", "étez|étés": "été", "etes": "êtes", "etait": "était", "arrivé du": "arrivée du", "être joint": "être jointe",
    "Felicitation,": "Félicitations,", "audios": "audio", "et et": "et", "connection": "connexion", "démontration": "démonstration",
    "des information ": "des informations ", "déboguage": "débogage", "Mise a": "Mise à", "a nouveau": "à nouveau", "échoué": "échouée",
    "premieres": "premières", "j'essai ": "j'essaie ", "j'établi ": "j'établis ", "reessayer": "réessayer", "seul les": "seuls les",
    "abregée": "abrégée", "accédez": "accédé", "avancés": "avancées", "boite": "boîte", "status": "statut", "mots? de passes": "mots de passe",
    "répétér": "répéter", "occupés et": "occupé et", "acceuil": "accueil", "appellant": "appelant", "votre votre": "votre", "  +": " ",
}


@dataclass
class Speech:
    """Sentences of the script one after the other."""

    sentences: list[str]
    # 16 kHz mono, 16 bits.
    samples: bytes


def read(place: Path) -> Speech:
    """Whole sentences of four words and more, of those that begin alike only the first."""
    script = gzip.decompress((place / "usr/share/doc/asterisk-core-sounds-fr/core-sounds-fr.txt.gz").read_bytes()).decode()
    sounds = place / "usr/share/asterisk/sounds/fr_CA_f_June"
    found, begun = Speech([], b""), set()
    for line in script.splitlines():
        name, _, text = line.partition(": ")
        file, text = sounds / f"{name}.g722", text.strip()
        for wrong, right in SPELLING.items():
            text = re.sub(wrong, right, text)
        beginning = tuple(words(text)[:4])
        # Menus say the same over and over; long numbers and signs are read in more than one way.
        menu = len(re.findall(r"\d", text)) > 3 or re.search(r"\d\d\d", text)
        if not re.fullmatch(r"[A-ZÀÉÇ][^\[*#]*[^.][.?]", text) or menu or len(beginning) < 4 or beginning in begun:
            continue
        sound = pcm(file, "-f", "g722") if file.exists() else b""
        seconds = len(sound) / 32_000
        if not sound or not PACE[0] <= len(text) / seconds <= PACE[1]:
            continue
        if len(found.samples) / 32_000 + seconds + PAUSE > SECONDS:
            break
        begun.add(beginning)
        found.sentences.append(text)
        found.samples += sound + bytes(round(PAUSE * 16_000) * 2)
    return found


def words(text: str) -> list[str]:
    """A text as it is compared: small letters, numbers in words, no marks; hyphens and apostrophes part words, œ is oe."""
    text = text.lower().replace("œ", "oe").replace("#", " dièse ").replace("*", " étoile ")
    text = re.sub(r"\d+", lambda number: f" {num2words(int(number.group()), lang='fr')} ", text)
    return re.findall(r"[^\W_]+", text)


def judge(folder: Path, speech: Speech, said: str) -> dict[str, Any]:
    """Word error rate and its parts; words are normalised here, for both alike."""
    reference, hypothesis = folder / "reference.txt", folder / "hypothesis.txt"
    reference.write_text(" ".join(words(" ".join(speech.sentences))) + "\n")
    hypothesis.write_text(" ".join(words(said)) + "\n")
    return evaluate("--reference", reference, "--hypothesis", hypothesis, "--pair", "whole", "--metric", "wer", "--normalise", "none")["wer"]


def film(folder: Path, speech: Speech) -> Path:
    """The speech with a test picture."""
    sound, file = folder / "speech.wav", folder / "speech.flv"
    raw = ["-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "pipe:0"]
    subprocess.run(["ffmpeg", "-v", "error", *raw, sound], input=speech.samples, check=True)
    picture = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=15", "-i", sound, "-shortest"]
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, *encoder, "-c:a", "aac", "-ar", "44100", "-b:a", "96k", file], check=True)
    return file


def live(folder: Path, speech: Speech) -> tuple[str, dict[str, Any], list[str]]:
    """A whole server at a websocket client: its text, what `amphi evaluate log` says of it, and its final cues."""
    events = folder / "events.jsonl"
    with Server(LADDER__ENABLED="false", RECONNECT_GRACE="1s") as server:
        url = server.channel("cours", "--language", "fr", "--model", MODEL)
        captions = Captions(server, "cours")
        with Publisher(film(folder, speech), url):
            wait("the speech to end", captions.ended.is_set, SECONDS + 120)
        lines = (message | {"received": datetime.fromtimestamp(at, UTC).isoformat()} for at, message in captions.received)
        events.write_text("".join(json.dumps(line) + "\n" for line in lines))
        final = {message["id"]: message["text"] for _, message in captions.cues() if message["final"]}
    return " ".join(final.values()), evaluate("log", events)["tracks"]["fr"], list(final.values())


def transcribed(folder: Path) -> str:
    """What `amphi transcribe` makes of the same sound."""
    said = folder / "said.txt"
    command = [AMPHI, "transcribe", folder / "speech.wav", "--model", MODEL, "--language", "fr", "--format", "txt", "-o", said]
    subprocess.run(command, capture_output=True, check=True)
    return said.read_text()


def peer(folder: Path) -> str:
    """What faster-whisper makes of it, with the same weights."""
    model = WhisperModel(str(MODELS / MODEL), device="cpu", compute_type="int8", cpu_threads=1)
    segments, _ = model.transcribe(str(folder / "speech.wav"), language="fr", beam_size=1)
    return " ".join(segment.text for segment in segments)


def heard(speech: Speech) -> tuple[str, float]:
    """The engine alone, on a clock of its own: its words, and its share of a core."""
    with Engine("whisper", MODEL, "fr") as engine:
        found = engine.hear(speech.samples)
    said = [word["text"] for _, hypothesis in found.said if hypothesis["last"] for word in hypothesis["words"]]
    return " ".join(said), found.cpu / found.seconds


def figures(speech: Speech, track: dict[str, Any], cues: list[str]) -> None:
    """The table of lags, and how the live's captions are written."""
    lags = track["lag"]
    table(["end of word, by its own time → text at a websocket client", "words", "p50", "p95", "within 2 s"],
          [(name, lags[kind]["words"], ms(lags[kind]["p50"]), ms(lags[kind]["p95"]), f"{lags[kind]['within_2s']:.0%}")
           for kind, name in (("shown", "shown"), ("stable", "stable"), ("last", "final"))])
    print(f"Final cues: {len(cues)}, of which {sum(cue[-1:] in '.?!…' for cue in cues)} end a sentence; questions: "
          f"{sum('?' in cue for cue in cues)} (the script has {sum('?' in sentence for sentence in speech.sentences)}). "
          f"Normalized erasure {track['normalized_erasure']:.3f}.\n")
    if os.environ.get("SHOW_FRENCH"):
        print(*cues, "", sep="\n", flush=True)


def main() -> None:
    """Prints the tables."""
    place = debian("french", *PACKAGES)
    if place is None:
        sys.exit(f"`apt-get download {' '.join(PACKAGES)}` did not work here")
    speech = read(place)
    count = len(words(" ".join(speech.sentences)))
    heading(f"French: {MODEL} on {len(speech.samples) / 32_000:.0f} s of a person's speech, {len(speech.sentences)} prompts, {count} words")
    with TemporaryDirectory(prefix="amphi-bench-") as scratch:
        folder = Path(scratch)
        said, track, cues = live(folder, speech)
        figures(speech, track, cues)
        alone, share = heard(speech)
        texts = {
            "**live, final cues at a websocket client**": said,
            f"the engine alone, live ({share:.2f} of a core)": alone,
            "`amphi transcribe` of the file": transcribed(folder),
            "faster-whisper 1.2.1, the file, int8, beam 1": peer(folder),
        }
        rows = []
        for name, text in texts.items():
            rate = judge(folder, speech, text)
            rows.append((name, f"{rate['rate']:.1%}", rate["substitutions"], rate["deletions"], rate["insertions"]))
    table(["word error rate", "measured", "other words", "left out", "added"], rows)
    print("Compared are small letters without marks, numbers in words, hyphens and apostrophes as gaps, for both alike. The script's "
          "misspellings are put right; prompts whose recording cannot be their text by its length are left out.\n")


if __name__ == "__main__":
    main()
