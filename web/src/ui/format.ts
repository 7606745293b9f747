import { language } from '../i18n';

/** Seconds as `1:05` or `1:02:05`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(Number.isFinite(seconds) ? seconds : 0));
  const two = (n: number): string => String(n).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A number with so many decimals, as the page's language writes it. */
export function decimal(value: number, digits = 1): string {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A share of one in whole hundredths, as the page's language writes it. */
export function percent(share: number): string {
  return new Intl.NumberFormat(language, { style: 'percent' }).format(share);
}

/** A day and time as the page's language writes them; empty for something that is no date. */
export function moment(iso: string | undefined): string {
  const date = new Date(iso ?? '');
  if (Number.isNaN(date.getTime())) return '';
  return new Intl.DateTimeFormat(regional(), { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}

/** How long ago something began ("12 minutes ago"); empty for something that is no date. */
export function ago(iso: string | undefined, now: number): string {
  const then = new Date(iso ?? '').getTime();
  if (Number.isNaN(then)) return '';
  const minutes = Math.round((then - now) / 60_000);
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  return Math.abs(minutes) < 90 ? relative.format(minutes, 'minute') : relative.format(Math.round(minutes / 60), 'hour');
}

/** The page's language as the browser's region writes it: days come first in Britain. */
function regional(): string {
  return navigator.languages.find((tag) => tag.split('-')[0] === language) ?? language;
}
