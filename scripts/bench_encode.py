"""What a ladder costs beside ffmpeg, which decodes, scales and encodes the same film with the same settings of x264."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench_common import LECTURE, Publisher, Server, cpu_seconds, heading, moving, table, verdict, wait

SECONDS = int(os.environ.get("SECONDS_ENCODE", "20"))
ROUNDS = int(os.environ.get("ROUNDS_ENCODE", "3"))
WARM_UP = 6.0
TARGET = 1.05
# Height, width and ceiling in kbit/s of the rungs, as the server makes them of 720 lines.
RUNGS = ((480, 854, 1200), (240, 426, 400))
# As in pipelines/encode-x264.gst. Key frames lie where the server asks for them: every two seconds.
X264 = ["-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-threads", "1", "-bf", "0", "-profile:v", "main",
        "-crf", "23", "-x264-params", "scenecut=0:keyint=infinite", "-force_key_frames", "expr:gte(t,n_forced*2)"]


def ffmpeg(film: Path) -> float:
    """CPU seconds a second of ffmpeg."""
    filters, outputs, source = [], [], "0:v"
    for nth, (height, width, ceiling) in enumerate(RUNGS):
        last = nth == len(RUNGS) - 1
        ends = f"[out{nth}]" if last else f",split[out{nth}][next{nth}]"
        filters.append(f"[{source}]scale={width}:{height}:flags=bilinear{ends}")
        source = f"next{nth}"
        limits = ["-maxrate", f"{ceiling}k", "-bufsize", f"{ceiling * 6 // 10}k"]
        outputs += ["-map", f"[out{nth}]", *X264, *limits, "-f", "flv", "-y", "/dev/null"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-filter_complex_threads", "1", "-threads", "1", "-re", "-stream_loop", "-1", "-i", film,
               "-filter_complex", ";".join(filters), *outputs]
    process = subprocess.Popen(command)
    try:
        return spent(process.pid)
    finally:
        process.kill()
        process.wait()


def ours(film: Path, ladder: bool) -> float:
    """CPU seconds a second of a server that is sent the film."""
    settings = {"CAPTIONS__ENABLED": "false", "RECORDING__ENABLED": "false", "LADDER__ENABLED": str(ladder).lower()}
    with Server(**settings) as server, Publisher(film, server.channel("hall"), loop=True):
        variants = 1 + len(RUNGS) if ladder else 1
        wait("the renditions", lambda: (server.get("/live/hall/index.m3u8") or "").count("#EXT-X-STREAM-INF") == variants)
        listed = server.get("/live/hall/index.m3u8")
        if ladder and not all(f"RESOLUTION={width}x{height}" in listed for height, width, _ in RUNGS):
            raise SystemExit(f"other rungs than ffmpeg makes:\n{listed}")
        return spent(server.process.pid)


def spent(pid: int) -> float:
    """CPU seconds a second of a process that has begun."""
    time.sleep(WARM_UP)
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(SECONDS)
    return (cpu_seconds(pid) - before) / (time.monotonic() - began)


def main() -> None:
    """Prints the table."""
    heading(f"A ladder of {' and '.join(str(rung[0]) for rung in RUNGS)} lines of 720p beside ffmpeg with the same settings of x264, {ROUNDS} rounds of {SECONDS} s")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for what, film in (("the lecture's slides", LECTURE), ("a moving test picture", moving(Path(scratch), "2500k"))):
            rounds = [(ours(film, ladder=True) - ours(film, ladder=False), ffmpeg(film)) for _ in range(ROUNDS)]
            mine, theirs = (statistics.median(costs) for costs in zip(*rounds, strict=True))
            each = " / ".join(f"{ladder / peer:.2f}×" for ladder, peer in rounds)
            rows.append((what, f"{mine:.1%}", f"{theirs:.1%}", f"{mine / theirs:.2f}×", each, verdict(mine / theirs <= TARGET)))
    table(["film", "ours, of a core", "ffmpeg", "ratio", "each round", f"≤ {TARGET}×"], rows)


if __name__ == "__main__":
    main()
