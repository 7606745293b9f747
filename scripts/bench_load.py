"""What a live costs: CPU and memory of the server and its engines, one 720p30 source, two rungs, captions."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench_common import LECTURE, Publisher, Server, heading, moving, table, wait

SECONDS = int(os.environ.get("SECONDS_LOAD", "60"))
# Engines load their model and playlists fill meanwhile.
WARM_UP = 20.0


def measure(server: Server) -> list[tuple[str, float, float]]:
    """Of each process its share of a core, and resident MiB at most."""
    before, began = server.usage(), time.monotonic()
    most: dict[str, float] = {}
    while (passed := time.monotonic() - began) < SECONDS:
        for name, (_, _, resident) in server.usage().items():
            most[name] = max(most.get(name, 0.0), resident)
        time.sleep(1)
    after = server.usage()
    return [(name, (after[name][1] - before.get(name, (0, 0.0, 0.0))[1]) / passed, most[name]) for name in after]


def main() -> None:
    """Prints the table."""
    heading(f"CPU and memory of the whole server over {SECONDS} s: one 720p30 source, publisher and viewers not counted")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        test_picture = moving(Path(scratch), "2500k")
        everything = {"slides, all on": (LECTURE, {}), "test picture 2.5 Mbit/s, all on": (test_picture, {}),
                      "slides, no captions": (LECTURE, {"CAPTIONS__ENABLED": "false"}),
                      "slides, no captions, no rungs": (LECTURE, {"CAPTIONS__ENABLED": "false", "LADDER__ENABLED": "false"})}
        for name, (film, settings) in everything.items():
            with Server(**settings) as server:
                url = server.channel("load", "--language", "en", "--translate", "pt")
                with Publisher(film, url, loop=True):
                    wait("the live's playlist", lambda: server.get("/live/load/index.m3u8") is not None)
                    time.sleep(WARM_UP)
                    parts = measure(server)
                    status = server.json("/api/v1/channels/load/status")
            cpu, mib = (sum(part[n] for part in parts) for n in (1, 2))
            rows.append((f"**{name}**", f"**{cpu:.0%}**", f"**{mib:.0f} MiB**", status["dropped"]))
            if len(parts) > 1:
                rows += [(f"· {part}", f"{cpu:.1%}", f"{mib:.0f} MiB", "") for part, cpu, mib in parts]
    table(["process", "CPU (of one core)", "resident, at most", "dropped"], rows)
    print("All on: rungs 480p and 240p, Whisper tiny.en captions, Portuguese translation, recording.\n")


if __name__ == "__main__":
    main()
