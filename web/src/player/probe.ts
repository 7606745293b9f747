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

/** Asks the API, and the playlist where the API does not say. */
export async function probe(name: string): Promise<{ probe: Probe; viewers: number | null }> {
  let viewers: number | null = null;
  let missing = false;
  try {
    const status = await api.channelStatus(name);
    viewers = status.viewers ?? null;
    if (status.state === 'idle' || status.state === 'ended') return { probe: 'idle', viewers };
  } catch (error) {
    missing = error instanceof ApiError && error.status === 404;
  }
  try {
    // The playlist is the truth: the API may say live before the first part is there.
    await api.text(`/live/${encodeURIComponent(name)}/index.m3u8`);
    return { probe: 'live', viewers };
  } catch (error) {
    const status = error instanceof ApiError ? error.status : 0;
    if (status === 401 || status === 403) return { probe: 'denied', viewers };
    if (status === 404) return { probe: missing ? 'missing' : 'idle', viewers };
    return { probe: 'unknown', viewers };
  }
}
