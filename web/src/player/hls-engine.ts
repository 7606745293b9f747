import Hls, { type ErrorData, type HlsConfig } from 'hls.js';

import type { Engine, EngineListener, Quality, Sound, TrackListener } from './engine';
import { TrackFollower } from './text-track';

/** Media errors to mend in place within ten seconds before giving up. */
const MENDS = 2;

/** Seconds of picture beyond a stuck one that prove that the publisher is not what it waits for. */
const AHEAD = 2;

/** A playlist that is asked for again and again before it counts as gone: a publisher may be away for 30 s. */
const PATIENT = { maxNumRetry: 6, retryDelayMs: 500, maxRetryDelayMs: 4000, backoff: 'exponential' as const };

/** Seconds behind its target at which a player that has just begun jumps there, once: catching up would take long. */
const LATE = 0.75;
/** Milliseconds after which it has begun. */
const BEGUN = 10_000;

/** Names this playback, so that the server counts viewers behind one address apart; nothing else knows it. */
const PLAYBACK = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

const CONFIG: Partial<HlsConfig> = {
  xhrSetup: (xhr, url) => {
    xhr.open('GET', url, true);
    xhr.setRequestHeader('X-Playback-Session-Id', PLAYBACK);
  },
  lowLatencyMode: true,
  // A little faster until back at the target: 5 % is hardly heard.
  maxLiveSyncPlaybackRate: 1.05,
  // Each stall adds a full second to the target by default, for ever.
  liveSyncOnStallIncrease: 0.15,
  liveDurationInfinity: true,
  backBufferLength: 60,
  capLevelToPlayerSize: true,
  abrEwmaDefaultEstimate: 4_000_000,
  // Captions come from the websocket; a subtitle playlist would take two of HTTP/1.1's six connections.
  subtitleDisplay: false,
  playlistLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 15_000,
      maxLoadTimeMs: 20_000,
      timeoutRetry: { ...PATIENT, retryDelayMs: 0 },
      errorRetry: PATIENT,
    },
  },
  manifestLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 10_000,
      maxLoadTimeMs: 20_000,
      timeoutRetry: { ...PATIENT, maxNumRetry: 2 },
      errorRetry: { ...PATIENT, maxNumRetry: 1 },
    },
  },
} as Partial<HlsConfig>;

/** For somebody who stays behind: nothing draws him to the edge, and whole segments will do. */
const BACK: Partial<HlsConfig> = { lowLatencyMode: false, maxLiveSyncPlaybackRate: 1, liveSyncOnStallIncrease: 0 };

/** Whether hls.js can play here. */
export function hlsSupported(): boolean {
  return Hls.isSupported();
}

/** hls.js feeding a `<video>`. */
export class HlsEngine implements Engine {
  readonly hls: Hls;
  private readonly follower: TrackFollower;
  private wanted: number | null;
  private mended: number[] = [];
  private complete = false;
  private readonly born = performance.now();
  private track_: string | null = null;

  /**
   * Starts at once; `quality` is the height to stay at, null for automatic, `sound` the name of the sound to hear where
   * there is one of that name. `behind` is how many seconds behind the edge of a rewind playlist to begin, null where the
   * edge is the place to be.
   */
  constructor(
    private readonly video: HTMLVideoElement,
    url: string,
    quality: number | null,
    sound: string | null,
    private readonly listener: EngineListener,
    private readonly behind: number | null = null,
  ) {
    this.wanted = quality;
    this.follower = new TrackFollower(video);
    const preference = sound === null ? {} : { audioPreference: { name: sound } };
    const hls = new Hls({ ...CONFIG, ...preference, ...(behind === null ? {} : { ...BACK, liveSyncDuration: behind }) });
    this.hls = hls;
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      this.choose(this.wanted);
      listener.choices();
    });
    for (const event of [Hls.Events.LEVEL_SWITCHED, Hls.Events.AUDIO_TRACKS_UPDATED, Hls.Events.AUDIO_TRACK_SWITCHED] as const) {
      hls.on(event, () => {
        listener.choices();
      });
    }
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.live || this.complete) return;
      this.complete = true;
      listener.complete();
    });
    hls.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, () => {
      this.selectTrack();
    });
    // hls.js picks a default track by itself, later than it lists them.
    hls.on(Hls.Events.SUBTITLE_TRACK_SWITCH, () => {
      this.selectTrack();
    });
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (data.fatal) this.fatal(data);
    });
    video.addEventListener('timeupdate', this.begin);
    hls.attachMedia(video);
    hls.loadSource(url);
  }

  programTime(): number | null {
    return this.hls.playingDate?.getTime() ?? null;
  }

  timeOf(date: number): number | null {
    const fragments = this.hls.latestLevelDetails?.fragments ?? [];
    const begun = fragments.findLast(({ programDateTime }) => programDateTime !== null && programDateTime <= date);
    if (begun === undefined) return null;
    const into = (date - (begun.programDateTime ?? date)) / 1000;
    return begun.start + Math.min(begun.duration, into);
  }

  latency(): number | null {
    return this.hls.liveSyncPosition === null ? null : this.hls.latency;
  }

  goLive(): void {
    const edge = this.hls.liveSyncPosition;
    if (edge !== null) this.video.currentTime = edge;
  }

  goBack(behind: number): void {
    // The place is a latency to hls.js, which it also takes up when it has not begun yet.
    this.hls.targetLatency = behind;
    this.goLive();
  }

  nudge(): boolean {
    const edge = this.behind === null ? this.hls.liveSyncPosition : this.further();
    const jumps = edge !== null && edge > this.video.currentTime + AHEAD;
    if (jumps) this.video.currentTime = edge;
    this.hls.startLoad();
    return jumps;
  }

  get qualities(): readonly Quality[] {
    const heights = [...new Set(this.hls.levels.map((level) => level.height))].filter((height) => height > 0);
    return heights.sort((a, b) => b - a).map((height, index) => ({ height, source: index === 0 }));
  }

  get height(): number | null {
    return this.hls.levels[this.hls.currentLevel]?.height ?? null;
  }

  choose(height: number | null): void {
    this.wanted = height;
    const level = height === null ? -1 : this.hls.levels.findIndex((candidate) => candidate.height === height);
    // Before the first picture the next level is the first one as well.
    if (this.hls.autoLevelEnabled && level === -1) return;
    this.hls.nextLevel = level;
  }

  get sounds(): readonly Sound[] {
    return this.hls.audioTracks.map(({ name, lang }) => ({ name, lang }));
  }

  get sound(): string | null {
    return this.hls.audioTracks[this.hls.audioTrack]?.name ?? null;
  }

  hear(name: string): void {
    this.hls.setAudioOption({ name });
  }

  track(lang: string | null, listener: TrackListener): void {
    this.track_ = lang;
    this.selectTrack();
    this.follower.follow(lang, listener);
  }

  destroy(): void {
    this.video.removeEventListener('timeupdate', this.begin);
    this.follower.destroy();
    this.hls.destroy();
  }

  /** Its place was chosen when the playlist came, and the first picture may have taken a while since. */
  private readonly begin = (): void => {
    const { video } = this;
    // hls.js names such a place in what is complete as well: a recording begins where it begins.
    const edge = this.complete ? null : this.hls.liveSyncPosition;
    const late = edge !== null && edge - video.currentTime > LATE;
    const loaded = video.buffered.length > 0 && video.buffered.end(video.buffered.length - 1) > (edge ?? Infinity);
    if (edge !== null && late && loaded) video.currentTime = edge;
    if ((late && loaded) || performance.now() - this.born > BEGUN) video.removeEventListener('timeupdate', this.begin);
  };

  /** Where the picture goes on behind a stretch that was not recorded. */
  private further(): number | null {
    const { buffered, currentTime } = this.video;
    const starts = Array.from({ length: buffered.length }, (_, index) => buffered.start(index));
    return starts.find((start) => start > currentTime) ?? null;
  }

  private selectTrack(): void {
    const index = this.track_ === null ? -1 : this.hls.subtitleTracks.findIndex((track) => track.lang === this.track_);
    this.hls.subtitleDisplay = false;
    if (this.hls.subtitleTrack !== index) this.hls.subtitleTrack = index;
  }

  private fatal(data: ErrorData): void {
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
      const status = data.response?.code ?? 0;
      this.listener.failed(status === 401 || status === 403 ? 'denied' : 'gone');
      return;
    }
    const now = performance.now();
    this.mended = this.mended.filter((then) => now - then < 10_000);
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && this.mended.length < MENDS) {
      this.mended.push(now);
      this.hls.recoverMediaError();
      return;
    }
    this.listener.failed('media');
  }
}
