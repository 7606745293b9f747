"""Copies a file to an address in real time, over and over, until it is killed: `bench_ingest_client.py FILE FORMAT URL [NAME=VALUE…]`.

The FFmpeg inside PyAV does it, which is newer than Debian's: it speaks WHIP, and sends Opus over RTMP.
"""

from __future__ import annotations

import sys
import time

import av


def main(file: str, form: str, url: str, *options: str) -> None:
    """Opens both ends and copies."""
    with av.open(file) as source, av.open(url, "w", format=form, options=dict(option.split("=", 1) for option in options)) as sink:
        streams = {stream.index: sink.add_stream_from_template(stream) for stream in source.streams}
        shift, began = 0.0, time.monotonic()
        while True:
            for packet in source.demux():
                # What ends a stream has no time.
                if packet.dts is None:
                    continue
                time.sleep(max(0.0, began + shift + float(packet.dts * packet.time_base) - time.monotonic()))
                turn = round(shift / packet.time_base)
                packet.pts, packet.dts = packet.pts + turn, packet.dts + turn
                packet.stream = streams[packet.stream.index]
                sink.mux(packet)
            shift += source.duration / av.time_base
            source.seek(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
