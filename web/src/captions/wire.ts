/** A word of a cue, in seconds on the stream's timeline. */
export interface WireWord {
  text: string;
  start: number;
  end: number;
  confidence?: number;
}

/** A cue as the websocket sends it. A higher `rev` of the same `id` replaces a lower one. */
export interface CueEvent {
  type: 'cue';
  lang: string;
  id: number;
  rev: number;
  final: boolean;
  /** Seconds on the stream's timeline. */
  start: number;
  end: number;
  /** The wall clock at `start`, RFC 3339. */
  start_pdt?: string;
  text: string;
  /** Leading characters (Unicode scalar values) that will not change. */
  stable_len: number;
  words?: WireWord[];
  source?: 'asr' | 'mt' | 'human';
}

/** What is left out while recognition cannot keep up, lightest first; each includes those before it. */
export const LOADS = ['normal', 'partials', 'translation', 'refresh'] as const;
/** One of them. */
export type Load = (typeof LOADS)[number];

/** How a caption track has done over the last minutes; null where nothing is known yet. */
export interface Figures {
  /** `live`, `reconnecting`, `restarting`, `failed`, …: what captioning is doing. */
  state: string;
  lang?: string;
  load?: Load;
  /** Seconds of work for a second of speech; with 1 and more, words fall behind. */
  real_time_factor?: number | null;
  /** Milliseconds from the end of a word to its text published for good: median and 95th percentile. */
  lag_p50_ms?: number | null;
  lag_p95_ms?: number | null;
  /** The same, to the last revision of its cue. */
  final_lag_p50_ms?: number | null;
  final_lag_p95_ms?: number | null;
  /** Share of words, 0 to 1, published for good before the picture reached their end. */
  ahead?: number | null;
  /** The engine's mean confidence in its words, 0 to 1; null for translations. */
  confidence?: number | null;
  /** Words taken back for each word that stayed. */
  erasure?: number | null;
  /** Pieces of sound and text lost on their way to the track. */
  dropped?: number;
}

/** What the captioning of the channel is doing. */
export interface StatusEvent extends Figures {
  type: 'status';
  /** Languages words come to now, the spoken one first. */
  languages?: string[];
  /** How many watch. */
  viewers?: number;
}

/** The live is over. */
export interface EndEvent {
  type: 'end';
}

/** Any message of the caption websocket. */
export type CaptionEvent = CueEvent | StatusEvent | EndEvent;

/** The event in a message; null for one that is none or of a kind this page does not know. */
export function parseEvent(message: unknown): CaptionEvent | null {
  if (typeof message !== 'string') return null;
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || !('type' in value)) return null;
  if (value.type === 'end') return { type: 'end' };
  if (value.type === 'status') return value as StatusEvent;
  return value.type === 'cue' && isCue(value) ? value : null;
}

function isCue(value: object): value is CueEvent {
  const cue = value as Partial<CueEvent>;
  return (
    typeof cue.id === 'number' &&
    typeof cue.rev === 'number' &&
    typeof cue.start === 'number' &&
    typeof cue.end === 'number' &&
    typeof cue.text === 'string'
  );
}
