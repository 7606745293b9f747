import * as api from '../api/client';
import { ApiError } from '../api/client';

/** What a channel is doing, as far as a viewer can find out. */
export type Probe =
  /** There is something to play. */
  | 'live'
  /** Not live. */
  | 'idle'
  /** The viewer may not watch. */
  | 'denied'
  /** No such channel. */
  | 'missing'
  /** No answer: try again. */
  | 'unknown';

/** What a look found. */
export interface Finding {
  probe: Probe;
  /** The API itself says that the channel is live: the playlist is not one left over. */
  sure: boolean;
  /** How many watch, null if unknown. */
  viewers: number | null;
  /** Seconds that viewers can go back, null where they cannot. */
  rewind: number | null;
}

/** Asks the API, and the playlist where the API does not say. */
export async function probe(name: string): Promise<Finding> {
  let viewers: number | null = null;
  let rewind: number | null = null;
  let missing = false;
  let sure = false;
  try {
    const status = await api.channelStatus(name);
    viewers = status.viewers ?? null;
    rewind = status.rewind ?? null;
    if (status.state === 'idle' || status.state === 'ended') return { probe: 'idle', sure, viewers, rewind };
    sure = true;
  } catch (error) {
    missing = error instanceof ApiError && error.status === 404;
  }
  try {
    // The playlist is the truth: the API may say live before the first part is there.
    await api.text(`/live/${encodeURIComponent(name)}/index.m3u8`);
    return { probe: 'live', sure, viewers, rewind };
  } catch (error) {
    const status = error instanceof ApiError ? error.status : 0;
    if (status === 401 || status === 403) return { probe: 'denied', sure, viewers, rewind };
    if (status === 404) return { probe: missing ? 'missing' : 'idle', sure, viewers, rewind };
    return { probe: 'unknown', sure, viewers, rewind };
  }
}
