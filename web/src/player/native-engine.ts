import type { Engine, EngineListener, Quality, TrackListener } from './engine';
import { TrackFollower } from './text-track';

/** WebKit's `<video>` knows the wall clock of its timeline's start. */
interface DatedVideo extends HTMLVideoElement {
  getStartDate?(): Date;
}

/** Whether the browser plays HLS by itself. */
export function nativeSupported(): boolean {
  return document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '';
}

/** The browser's own HLS player (Safari on an older iPhone), which chooses qualities by itself. */
export class NativeEngine implements Engine {
  readonly hls = null;
  readonly qualities: readonly Quality[] = [];
  readonly height = null;
  private readonly follower: TrackFollower;
  private readonly stop = new AbortController();

  /** Starts at once; `behind` as {@link HlsEngine}'s. */
  constructor(
    private readonly video: DatedVideo,
    url: string,
    listener: EngineListener,
    behind: number | null = null,
  ) {
    this.follower = new TrackFollower(video);
    const { signal } = this.stop;
    video.addEventListener('error', () => { listener.failed('gone'); }, { signal });
    video.addEventListener('durationchange', () => {
      if (Number.isFinite(video.duration)) listener.complete();
    }, { signal });
    // In an iPhone's own full screen only the native track can be seen.
    video.addEventListener('webkitbeginfullscreen', () => { this.reveal('hidden', 'showing'); }, { signal });
    video.addEventListener('webkitendfullscreen', () => { this.reveal('showing', 'hidden'); }, { signal });
    if (behind !== null) video.addEventListener('loadedmetadata', () => { this.goBack(behind); }, { signal });
    video.src = url;
  }

  programTime(): number | null {
    const start = this.video.getStartDate?.().getTime() ?? NaN;
    return Number.isNaN(start) ? null : start + this.video.currentTime * 1000;
  }

  latency(): number | null {
    const { seekable } = this.video;
    return seekable.length === 0 ? null : Math.max(0, seekable.end(seekable.length - 1) - this.video.currentTime);
  }

  goLive(): void {
    this.goBack(0);
  }

  goBack(behind: number): void {
    const { seekable } = this.video;
    if (seekable.length > 0) this.video.currentTime = Math.max(seekable.start(0), seekable.end(seekable.length - 1) - behind);
  }

  nudge(): boolean {
    this.goLive();
    return false;
  }

  choose(): void {
    // The browser chooses.
  }

  track(lang: string | null, listener: TrackListener): void {
    this.follower.follow(lang, listener);
  }

  destroy(): void {
    this.stop.abort();
    this.follower.destroy();
    this.video.removeAttribute('src');
    this.video.load();
  }

  private reveal(from: TextTrackMode, to: TextTrackMode): void {
    for (const track of Array.from(this.video.textTracks)) if (track.mode === from) track.mode = to;
  }
}
