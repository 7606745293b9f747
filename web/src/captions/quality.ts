import type { StatusEvent } from './wire';

/** Milliseconds behind the voice at which a reader loses the connection to slides and gestures. */
const LATE = 5000;
/** Mean confidence below which readers should doubt what they read. */
const UNSURE = 0.65;

/** What readers should know of how the captions do just now; nothing while they do well. */
export function shortcomings(status: StatusEvent | null): ('transcript.late' | 'transcript.unsure')[] {
  const late = (status?.lag_p50_ms ?? 0) > LATE;
  const unsure = (status?.confidence ?? 1) < UNSURE;
  return [...(late ? ['transcript.late' as const] : []), ...(unsure ? ['transcript.unsure' as const] : [])];
}
