import { t } from '../i18n';
import { el } from '../ui/dom';

/** Decibels below full scale at the left end. */
const FLOOR = -60;
/** Below this nobody speaks. */
const SILENT = -50;
/** Above this it is about to distort. */
const LOUD = -6;
/** Milliseconds of silence after which the speaker is told. */
const PATIENCE = 6000;

/** What a look at the sound says. */
export type Loudness = 'fine' | 'silent' | 'loud';

/** Judges the level of sound. Pure: time is an argument, in milliseconds. */
export class Ear {
  private heard: number | null = null;
  private loud = -Infinity;

  /** `level` in decibels below full scale. */
  listen(level: number, now: number): Loudness {
    this.heard ??= now;
    if (level > SILENT) this.heard = now;
    if (level > LOUD) this.loud = now;
    if (now - this.loud < 2000) return 'loud';
    return now - this.heard >= PATIENCE ? 'silent' : 'fine';
  }
}

/** The level of the sound, drawn; what is wrong with it, in words. */
export class Meter {
  private readonly bar = el('meter', { class: 'studio-meter', min: FLOOR, max: 0, low: SILENT, high: LOUD, optimum: -20, 'aria-label': t('studio.level') });
  private readonly hint = el('p', { class: 'studio-hint', role: 'status' });
  readonly element = el('div', { class: 'studio-level' }, this.bar, this.hint);
  private readonly ear = new Ear();

  /** `muted`: the speaker wants it silent. */
  draw(level: number, muted: boolean, now: number): void {
    this.bar.value = Math.max(FLOOR, level);
    const loudness = this.ear.listen(muted ? LOUD - 1 : level, now);
    const text = muted ? t('studio.muted') : loudness === 'fine' ? '' : t(`studio.${loudness}`);
    if (this.hint.textContent !== text) this.hint.textContent = text;
  }
}
