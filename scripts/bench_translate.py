"""Translation: words a second of one core beside the Python packages of the same engines, and ten tracks of one live."""

from __future__ import annotations

import json
import os
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import ctranslate2
import fxtranslate
from bench_common import AMPHI, LECTURE, MEDIA, MODELS, ROOT, Captions, Publisher, Server, heading, table, verdict, wait

FX = "fx-en-pt"
CT2 = ROOT / "tests" / "models" / "aren-transliteration"
ROUNDS = 5
# The lecture so many times over: what is left beyond one is translation without start-up.
TURNS = 4
# Names the small CTranslate2 model knows to write in Latin letters.
NAMES = "محمد أحمد علي حسن خالد عمر يوسف إبراهيم مصطفى عبدالله فاطمة عائشة مريم زينب خديجة القاهرة دمشق بغداد بيروت الخرطوم".split()
# Ten languages with models from English; the manifest's one model that can be fetched anywhere stands in for each.
LANGUAGES = "es fr de it nl pl cs ro uk ru".split()
MANIFEST = """
[[model]]
id = "{id}"
task = "translation"
engine = "fx"
languages = ["en", "{language}"]
licence = "MPL-2.0"
about = "fx-en-pt in the place of a model for this language"
source = []
"""


class Translating:
    """`amphi-engine` with a CTranslate2 model."""

    def __init__(self, model: Path) -> None:
        command = [AMPHI.with_name("amphi-engine"), "--engine", "ct2", "--model", model, "--threads", "1"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert self._answer()["type"] == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def translate(self, texts: Sequence[str]) -> list[str]:
        """One request."""
        body = json.dumps({"texts": [{"text": text, "before": None} for text in texts]}).encode()
        self.process.stdin.write(struct.pack("<I", len(body)) + body)
        self.process.stdin.flush()
        return self._answer()["texts"]

    def _answer(self) -> dict[str, object]:
        (length,) = struct.unpack("<I", self.process.stdout.read(4))
        return json.loads(self.process.stdout.read(length))


def spent(pid: int | str, wanted: Callable[[str], bool] = lambda _: True) -> float:
    """Processor seconds of a process's threads so far, of those whose name is wanted."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            if wanted((task / "comm").read_text().strip()):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def command(file: Path, to: Path) -> float:
    """Processor seconds of `amphi translate`."""
    before = os.times()
    subprocess.run([AMPHI, "translate", file, "--from", "en", "--to", "pt", "-o", to], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def firefox(folder: Path) -> tuple[str, float, float, bool]:
    """Words a second of a core of `amphi translate` and of PyPI's fxtranslate; whether they say the same."""
    lines = [line for line in (MEDIA / "lecture-en.txt").read_text().splitlines() if line.strip()]
    words = sum(len(line.split()) for line in lines) * TURNS
    once, often, said = folder / "once.txt", folder / "often.txt", folder / "said.txt"
    once.write_text("\n".join(lines) + "\n")
    often.write_text("\n".join(lines * (TURNS + 1)) + "\n")
    model = next((MODELS / FX).glob("model.*.bin")).read_bytes()
    vocabulary = next((MODELS / FX).glob("vocab.*.spm")).read_bytes()
    peer = fxtranslate.Translator(model, vocabulary, vocabulary)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        short = command(once, said)
        ours.append(words / (command(often, said) - short))
        began = time.process_time()
        for line in lines * TURNS:
            peer.translate_long(line)
        theirs.append(words / (time.process_time() - began))
    same = said.read_text().splitlines() == [peer.translate_long(line) for line in lines] * (TURNS + 1)
    return "fx: `amphi translate`, PyPI fxtranslate 0.5.0; the lecture", statistics.median(ours), statistics.median(theirs), same


def ctranslate(batch: int) -> tuple[str, float, float, bool]:
    """The same of `amphi-engine` and of PyPI's ctranslate2, so many texts at a time."""
    names = NAMES * 256
    batches = [names[at : at + batch] for at in range(0, len(names), batch)]
    peer = ctranslate2.Translator(str(CT2), device="cpu", compute_type="int8", intra_threads=1, inter_threads=1)

    def ask(texts: Sequence[str]) -> list[str]:
        """The peer, told to do what ours does."""
        found = peer.translate_batch([list(text) for text in texts], beam_size=2, max_decoding_length=2 * max(map(len, texts)) + 16)
        return ["".join(result.hypotheses[0]) for result in found]

    ours, theirs, same = [], [], True
    with Translating(CT2) as engine:
        # The first turn warms up.
        for _ in range(ROUNDS + 1):
            before = spent(engine.process.pid)
            said = [engine.translate(texts) for texts in batches]
            ours.append(len(names) / (spent(engine.process.pid) - before))
            before = spent("self")
            expected = [ask(texts) for texts in batches]
            theirs.append(len(names) / (spent("self") - before))
            same = same and said == expected
    what = f"ct2: `amphi-engine`, PyPI ctranslate2 {ctranslate2.__version__}; names, {batch} at a time"
    return what, statistics.median(ours[1:]), statistics.median(theirs[1:]), same


def speed(folder: Path) -> None:
    """The table of both."""
    heading("Translation: words a second of one core's time, one thread, in turns")
    rows = []
    for what, ours, theirs, same in (firefox(folder), ctranslate(1), ctranslate(16)):
        rows.append((what, f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}×", "yes" if same else "**no**", verdict(ours / theirs >= 0.95)))
    table(["engine", "ours, words/s", "PyPI, words/s", "ratio", "same text", "≥ 0.95×"], rows)
    print(f"Medians of {ROUNDS} rounds, processor time. fxtranslate is one Rust crate here and there: its ratio says that nothing is "
          "lost around it. Ours of ct2 includes the pipe and the division into tokens.\n")


def tracks(folder: Path) -> None:
    """The lecture with ten target languages."""
    heading("Ten target languages of one live: the lecture, tiny.en, no ladder")
    for model in MODELS.iterdir():
        (folder / model.name).symlink_to(model)
    ids = {language: f"bench-{language}" for language in LANGUAGES}
    for name in ids.values():
        (folder / name).symlink_to(MODELS / FX)
    (folder / "manifest.toml").write_text("".join(MANIFEST.format(id=name, language=lang) for lang, name in ids.items()))
    with Server(MODELS_DIR=str(folder), LADDER__ENABLED="false", RECONNECT_GRACE="1s") as server:
        url = server.channel("lecture", "--language", "en", "--translate", ",".join(LANGUAGES))
        captions = Captions(server, "lecture")
        began = time.monotonic()
        with Publisher(LECTURE, url):
            wait("the lecture to end", captions.ended.is_set, 300)
        lasted = time.monotonic() - began
        cores = {lang: spent(server.process.pid, lambda comm, name=name: comm == name) / lasted for lang, name in ids.items()}
        told = {message["lang"]: message for _, message in captions.received if message["type"] == "status" and message.get("lang")}
        rows = []
        for lang in LANGUAGES:
            cues = [cue for _, cue in captions.cues() if cue["lang"] == lang]
            words = sum(len(cue["text"].split()) for cue in cues if cue["final"])
            rows.append((lang, f"{cores[lang]:.3f}", words, len(cues), told[lang].get("lag_p50_ms"), told[lang].get("lag_p95_ms"),
                         told[lang].get("erasure"), told[lang]["dropped"]))
    table(["track", "cores", "words", "revisions", "lag p50, ms", "lag p95, ms", "erasure", "dropped"], rows)
    whole = sum(cores.values())
    print(f"**{whole:.2f} cores** for all ten (target ≤ 1: {verdict(whole <= 1)}), over {lasted:.0f} s. {FX} stands in for each of the ten "
          "models, since English to Portuguese is the one pair from English that a registry has: ten models in memory, ten threads, the "
          "work of ten languages, and Portuguese text in every track.\n")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="amphi-bench-") as scratch:
        speed(Path(scratch))
    with tempfile.TemporaryDirectory(prefix="amphi-bench-") as scratch:
        tracks(Path(scratch))
