import { type Key, t } from '../i18n';
import { decimal, percent } from '../ui/format';
import { type Figures, LOADS } from './wire';

/** Milliseconds behind the voice at which a reader loses the connection to slides and gestures. */
const LATE = 5000;
/** Mean confidence below which readers should doubt what they read. */
const UNSURE = 0.65;
/** Stands where nothing is known. */
const UNKNOWN = '–';
/** What is left out, in words; nothing for `normal`, and for what a later server may name. */
const LEFT_OUT: Partial<Record<string, Key>> = {
  partials: 'quality.load.partials',
  translation: 'quality.load.translation',
  refresh: 'quality.load.refresh',
};

/** What readers should know of how the captions do just now; nothing while they do well. */
export function shortcomings(status: Figures | null): ('transcript.late' | 'transcript.unsure')[] {
  const late = (status?.lag_p50_ms ?? 0) > LATE;
  const unsure = (status?.confidence ?? 1) < UNSURE;
  return [...(late ? ['transcript.late' as const] : []), ...(unsure ? ['transcript.unsure' as const] : [])];
}

/** What is left out now, if that is more than `before`; null otherwise. */
export function shed(before: Figures['load'], now: Figures['load']): Key | null {
  if (now === undefined || LOADS.indexOf(now) <= LOADS.indexOf(before ?? 'normal')) return null;
  return LEFT_OUT[now] ?? null;
}

/** What is measured of a track, and how much of it, as readers see it. */
export function rows(figures: Figures): [Key, string][] {
  const { real_time_factor: factor, load, dropped } = figures;
  const leftOut = LEFT_OUT[load ?? ''];
  return [
    ['quality.lag', lags(figures.lag_p50_ms, figures.lag_p95_ms)],
    ['quality.finalLag', lags(figures.final_lag_p50_ms, figures.final_lag_p95_ms)],
    ['quality.ahead', share(figures.ahead)],
    ['quality.confidence', share(figures.confidence)],
    ['quality.erasure', share(figures.erasure)],
    ['quality.dropped', dropped === undefined ? UNKNOWN : decimal(dropped, 0)],
    ['quality.factor', factor === undefined || factor === null ? UNKNOWN : t('quality.seconds', { seconds: decimal(factor, 2) })],
    ['quality.load', leftOut !== undefined ? t(leftOut) : load === 'normal' ? t('quality.load.normal') : UNKNOWN],
  ];
}

function lags(half: number | null | undefined, most: number | null | undefined): string {
  if (typeof half !== 'number' || typeof most !== 'number') return UNKNOWN;
  return t('quality.lags', { half: decimal(half / 1000), most: decimal(most / 1000) });
}

function share(of: number | null | undefined): string {
  return typeof of === 'number' ? percent(of) : UNKNOWN;
}
