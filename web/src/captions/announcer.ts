import { directionOf, t } from '../i18n';
import { load, save } from '../settings';
import { el } from '../ui/dom';
import type { TimelineCue } from './timeline';

/** Cues kept: a screen reader that is behind goes on from here. */
const CAPACITY = 20;

/** Has screen readers read a live's words, where the viewer wants that: each cue once, when it is complete. */
export class Announcer {
  // A live region of its own: the transcript's words change while they are recognised, and would be read each time.
  private readonly region = el('div', { class: 'visually-hidden', role: 'log', 'aria-live': 'polite', 'data-announced': '' });
  // Not Bootstrap's: its tick is a data: address, which the content security policy refuses.
  private readonly wanted = el('input', { type: 'checkbox', id: 'announce' });
  /** What was said before this is not made up for, in seconds; null until the picture has a place. */
  private from: number | null = null;

  constructor() {
    this.region.setAttribute('aria-label', t('transcript.title'));
    this.wanted.checked = load('announce') === 'yes';
    this.wanted.addEventListener('change', () => {
      save('announce', this.wanted.checked ? 'yes' : 'no');
      this.begin();
    });
  }

  /** The viewer's choice, and what is read, unseen. */
  get elements(): HTMLElement[] {
    const choice = el('label', { class: 'visually-hidden-focusable' }, this.wanted, ' ', t('transcript.announce'));
    return [choice, this.region];
  }

  /** Begins with what is said from now on. */
  begin(): void {
    this.from = null;
    this.region.replaceChildren();
  }

  /** The picture is at `now` (seconds); Infinity where it has no place and words come when they are due. */
  reached(now: number): void {
    if (Number.isFinite(now)) this.from ??= now;
  }

  /** A cue that is final has been spoken by `now`. Call it once for each. */
  take(cue: TimelineCue, now: number): void {
    const past = Number.isFinite(now) && cue.end < (this.from ?? now);
    if (!this.wanted.checked || past) return;
    const text = cue.pieces.map((piece) => piece.text).join('').trim();
    this.region.append(el('p', { lang: cue.lang, dir: directionOf(cue.lang), 'data-id': cue.id }, text));
    if (this.region.childElementCount > CAPACITY) this.region.firstElementChild?.remove();
  }
}
