"""Shared by the measurements: a server of their own, what talks to it, and tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / "tests" / "media"
LECTURE = ROOT / "demo" / "lecture-en.flv"
AMPHI = Path(os.environ["CARGO_TARGET_DIR"]) / "release" / "amphi"
MODELS = Path(os.environ["AMPHI_MODELS_DIR"])
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """`amphi serve` on free ports with a data directory that goes when it goes."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self.home = tempfile.TemporaryDirectory(prefix="amphi-bench-")
        self.log = Path(self.home.name) / "log"
        self.environment = os.environ | {
            "AMPHI_DATA_DIR": str(Path(self.home.name) / "data"),
            "AMPHI_HTTP__LISTEN": "127.0.0.1:0",
            "AMPHI_RTMP__LISTEN": "127.0.0.1:0",
            "AMPHI_WEBRTC__LISTEN": "127.0.0.1:0",
            "AMPHI_SRT__LISTEN": "127.0.0.1:0",
            "AMPHI_RTSP__LISTEN": "127.0.0.1:0",
        } | {f"AMPHI_{key}": value for key, value in settings.items()}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [AMPHI, "serve", *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.http = self._address("http").rstrip("/")
        self.rtmp = self._address("rtmp")
        self.srt = self._address("srt").partition("?")[0]
        self.rtsp = self._address("rtsp").removeprefix("rtsp://").partition("/")[0]
        # The pipe must not fill up.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        wait("the server to be ready", lambda: self.get("/readyz") is not None)

    def _address(self, name: str) -> str:
        for line in self.process.stdout:
            words = line.split()
            if words and words[0] == name:
                return words[1]
        sys.exit(f"the server did not start:\n{self.log.read_text()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if kind is not None and kind is not SystemExit:
            print("the end of the server's log:", *self.log.read_text().splitlines()[-30:], sep="\n", file=sys.stderr)
        self.home.cleanup()

    def channel(self, name: str, *options: str) -> str:
        """Makes a channel; where to publish to it."""
        made = subprocess.run(
            [AMPHI, "channel", "add", name, "--json", *options], env=self.environment, capture_output=True, text=True
        )
        if made.returncode:
            sys.exit(f"no channel: {made.stderr}")
        return f"{self.rtmp}/{name}?key={json.loads(made.stdout)['stream_key']}"

    def get(self, path: str) -> str | None:
        """What a GET gives, or None where the answer is no."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=20) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return None

    def json(self, path: str) -> Any:
        """A JSON document."""
        text = self.get(path)
        return None if text is None else json.loads(text)

    def processes(self) -> list[tuple[str, int]]:
        """The server and the engines it started: what each is, and its process id."""
        found = [("amphi", self.process.pid)]
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                if int(stat(int(entry.name))[1]) == self.process.pid:
                    arguments = (entry / "cmdline").read_bytes().decode().split("\0")
                    found.append((f"engine {Path(arguments[arguments.index('--model') + 1]).name}", int(entry.name)))
        return found

    def usage(self) -> dict[str, tuple[int, float, float]]:
        """Of each process its id, CPU seconds so far, and resident MiB."""
        seen = {}
        for name, pid in self.processes():
            with suppress(OSError):
                fields = stat(pid)
                cpu = (int(fields[11]) + int(fields[12])) / TICKS
                resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
                seen[name] = (pid, cpu, resident)
        return seen

    def complaints(self) -> list[str]:
        """Lines of the log that a person should read."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
        return [line for line in plain.splitlines() if re.search(r"\b(WARN|ERROR)\b|panicked", line)]


class Publisher:
    """ffmpeg that copies a file to a live in real time, so that it costs and delays next to nothing."""

    def __init__(self, file: Path, url: str, *, loop: bool = False) -> None:
        turns = ["-stream_loop", "-1"] if loop else []
        progress = ["-progress", "pipe:1", "-stats_period", "0.5"]
        self.process = subprocess.Popen(
            ["ffmpeg", "-v", "error", *progress, "-re", *turns, "-i", file, "-c", "copy", "-f", "flv", url],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )
        self.began: float | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Notes by ffmpeg's own account when the media time 0 was sent."""
        for line in self.process.stdout:
            key, _, value = line.strip().partition("=")
            if key == "out_time_us" and value.isdigit():
                zero = time.time() - int(value) / 1e6
                self.began = zero if self.began is None else min(self.began, zero)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


class Captions:
    """A websocket on the caption tracks of a channel; keeps every message with its arrival."""

    def __init__(self, server: Server, channel: str, lang: str | None = None) -> None:
        query = f"?lang={lang}" if lang else ""
        url = server.http.replace("http", "ws", 1) + f"/api/v1/channels/{channel}/captions/ws{query}"
        self.socket = connect(url, compression=None)
        self.received: list[tuple[float, dict[str, Any]]] = []
        self.ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(ConnectionClosed, OSError):
            while not self.ended.is_set():
                text = self.socket.recv()
                message = json.loads(text)
                self.received.append((time.time(), message))
                if message["type"] == "end":
                    break
        self.ended.set()

    def cues(self) -> list[tuple[float, dict[str, Any]]]:
        """Cue messages with their arrivals."""
        return [(at, message) for at, message in list(self.received) if message["type"] == "cue"]


def evaluate(*arguments: str | Path) -> dict[str, Any]:
    """The figures of `amphi evaluate`."""
    done = subprocess.run([AMPHI, "evaluate", *arguments, "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"amphi evaluate: {done.stderr}")
    return json.loads(done.stdout)


def debian(name: str, *packages: str) -> Path | None:
    """Debian packages unpacked into a folder, with what they need and this machine has not; None where that does not work.

    They are not installed: nothing starts by itself, and tests never see them.
    """
    place = Path(os.environ["AMPHI_CACHE"]) / "debian" / name
    stamp = place / ".complete"
    if stamp.exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    try:
        plan = subprocess.run(["apt-get", "install", "--simulate", "--no-install-recommends", *packages],
                              env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True, check=True).stdout
        wanted = {*packages, *re.findall(r"^Inst (\S+)", plan, re.MULTILINE)}
        subprocess.run(["apt-get", "download", "-q", *sorted(wanted)], cwd=place, check=True, capture_output=True)
        for package in place.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, place], check=True)
            package.unlink()
    except (OSError, subprocess.CalledProcessError):
        return None
    stamp.touch()
    return place


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a process so far, to the nanosecond and with its threads that have ended (clock_getcpuclockid(3))."""
    # The kernel's number for the CPU clock of a process (CPUCLOCK_SCHED, include/linux/posix-timers.h).
    return time.clock_gettime(~pid << 3 | 2)


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def wait(what: str, condition: Callable[[], object], limit: float = 60) -> None:
    """Waits until the condition holds; ends the program if it does not."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"waited {limit:.0f} s in vain for {what}")
        time.sleep(0.05)


def pcm(file: Path, *options: str) -> bytes:
    """The sound of a file as 16 kHz mono, 16 bits."""
    command = ["ffmpeg", "-v", "error", *options, "-i", file, "-vn", "-ac", "1", "-ar", "16000", "-f", "s16le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def moving(folder: Path, bitrate: str) -> Path:
    """Half a minute of ffmpeg's moving test picture, 720p30, with the lecture's sound."""
    file = folder / "moving.flv"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-i", LECTURE, "-map", "0:v", "-map", "1:a", "-t", "30"]
    encoder = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "60", "-b:v", bitrate, "-maxrate", bitrate]
    rest = ["-bufsize", bitrate, "-pix_fmt", "yuv420p", "-c:a", "copy", file]
    subprocess.run(["ffmpeg", "-v", "error", *picture, *encoder, *rest], check=True)
    return file


def centile(values: Iterable[float], share: float) -> float:
    """Nearest-rank percentile; share between 0 and 1."""
    ranked = sorted(values)
    if not ranked:
        return float("nan")
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked) + 0.5) - 1))]


def ms(seconds: float) -> str:
    """Seconds as whole milliseconds."""
    return f"{seconds * 1000:.0f} ms"


def machine() -> str:
    """The machine, and how busy it is just now."""
    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "unknown CPU")
    load = " / ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{cpu}, {os.cpu_count()} cores; load {load} (1 / 5 / 15 min) at the start"


def heading(title: str) -> None:
    """A section's title and the machine it was measured on."""
    print(f"\n## {title}\n\n{machine()}\n", flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def verdict(good: bool) -> str:
    """A target met, or not."""
    return "yes" if good else "**no**"
