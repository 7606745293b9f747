import type Hls from 'hls.js';

/** Seconds after which RTP time begins again (32 bits of 90 kHz). */
export const WRAP = 2 ** 32 / 90_000;

/** A picture quality to choose. */
export interface Quality {
  /** Lines. */
  height: number;
  /** The best one is what the publisher sends. */
  source: boolean;
}

/** A sound to choose: the room's, an interpreter's. */
export interface Sound {
  /** Tells it from the others. */
  name: string;
  lang?: string | undefined;
}

/** Why an engine gave up. */
export type Failure = 'gone' | 'denied' | 'media' | 'narrow';

/** What an engine tells its owner. */
export interface EngineListener {
  /** It gave up; destroy it and make another. */
  failed(why: Failure): void;
  /** The qualities or sounds, or those playing, changed. */
  choices(): void;
  /** The playlist says that nothing more will come. */
  complete(): void;
}

/** A text track's active cues, for drawing. */
export type TrackListener = (cues: VTTCue[]) => void;

/** What feeds the `<video>`: hls.js, or the browser's own player where hls.js cannot run. */
export interface Engine {
  /** hls.js, if that is what plays. */
  readonly hls: Hls | null;
  /** Milliseconds since 1970 of the picture on show (program date-time); null before it plays. */
  programTime(): number | null;
  /** Seconds into a recording at which what was shown then lies, or what follows if that was not recorded; null if unknown. */
  timeOf?(date: number): number | null;
  /** The picture's place on the stream's timeline in seconds, modulo {@link WRAP}, where pictures carry it. */
  place?(): number | null;
  /** Seconds behind the live edge; null if unknown. */
  latency(): number | null;
  /** Jumps to the live edge. */
  goLive(): void;
  /** Where it plays a rewind playlist: plays on so many seconds behind the edge. */
  goBack?(behind: number): void;
  /** Tries to get a stalled picture going again; whether there was a picture further on to jump to. */
  nudge(): boolean;
  /** Best first; empty if there is no choice. */
  readonly qualities: readonly Quality[];
  /** Lines of what plays now, null if unknown. */
  readonly height: number | null;
  /** Lines to stay at, null for automatic. */
  choose(height: number | null): void;
  /** Where it has several: the sounds, and the name of the one that is heard. */
  readonly sounds?: readonly Sound[];
  readonly sound?: string | null;
  /** Has the sound of this name heard from now on. */
  hear?(name: string): void;
  /** Where it has text tracks: loads a language's without showing it, and hands over its active cues; null stops. */
  track?(lang: string | null, listener: TrackListener): void;
  destroy(): void;
}
