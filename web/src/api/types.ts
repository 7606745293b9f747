import type { Figures } from '../captions/wire';

/** A channel's life cycle, as the server names it. */
export type ChannelState = 'idle' | 'live' | 'reconnecting' | 'ended';

/** A channel of `GET /api/v1/channels`. */
export interface Channel {
  name: string;
  title?: string | null;
  /** Language spoken, a BCP 47 tag. */
  language: string;
  /** Languages its captions are translated into. */
  translate?: string[];
  state?: ChannelState;
  poster?: string | null;
  viewers?: number | null;
  /** RFC 3339. */
  started_at?: string | null;
}

/** `GET /api/v1/channels/NAME/status`, as far as the pages read it. */
export interface ChannelStatus {
  state: ChannelState;
  /** Caption tracks; words come to the current ones. */
  captions?: (Figures & { lang: string; current: boolean })[];
  viewers?: number | null;
  /** Seconds that viewers can go back; absent where they cannot. */
  rewind?: number;
}

/** A recording's life cycle. */
export type RecordingState = 'recording' | 'processing' | 'ready' | 'failed';

/** A recording of `GET /api/v1/recordings`. */
export interface Recording {
  id: string;
  state: RecordingState;
  channel: string;
  title?: string | null;
  /** RFC 3339. */
  started_at?: string | null;
  /** Seconds. */
  duration?: number | null;
  poster?: string | null;
  /** Caption languages; only `GET /api/v1/recordings/ID` lists them. */
  captions?: string[];
  /** What the captions of its live were worth; only `GET /api/v1/recordings/ID` says, once it is known. */
  estimates?: Estimate[];
}

/** An estimate of one caption track. */
export interface Estimate {
  lang: string;
  /** Words heard, or words translated. */
  measure: 'wer' | 'chrf';
  band: 'good' | 'fair' | 'poor';
  /** The model's id. */
  model: string;
}

/** Every list answers like this. */
export interface List<T> {
  items: T[];
}
