import { directionOf } from '../i18n';
import { el } from '../ui/dom';
import type { Shown, TimelineCue } from './timeline';
import { LINES, wrap } from './wrap';

/** The captions over the picture. */
export class Overlay {
  /** To be put inside the player's element, so that full screen shows it too. */
  readonly element = el('div', { class: 'captions', 'data-captions': '', 'aria-live': 'off' });
  private drawn = '';

  /** How large and on what: values of the settings `size` and `contrast`. */
  style(size: string, contrast: string): void {
    this.element.dataset.size = size;
    this.element.dataset.contrast = contrast;
  }

  /** Draws what is shown, two lines at most, nothing for null; does nothing if that stands there already. */
  draw(shown: Shown | null): void {
    const lines = shown === null ? [] : [...wrap(shown.above ?? []), ...wrap(shown.pieces)].slice(-LINES);
    const now = JSON.stringify(lines);
    if (now === this.drawn) return;
    this.drawn = now;
    if (shown !== null) {
      this.element.lang = shown.cue.lang;
      this.element.dir = directionOf(shown.cue.lang);
      this.element.toggleAttribute('data-growing', grows(shown.cue));
    }
    const drawn: (Node | string)[] = [];
    lines.forEach((line, index) => {
      if (index > 0) drawn.push('\n');
      const row = el('span', { class: 'captions-line' });
      for (const piece of line) {
        row.append(piece.stable ? piece.text : el('span', { class: 'unstable' }, piece.text));
      }
      drawn.push(row);
    });
    this.element.replaceChildren(...drawn);
  }
}

/** Words are added while it stands there; a recording's cues without word times come whole. */
function grows(cue: TimelineCue): boolean {
  return !cue.final || cue.source === 'mt' || cue.pieces.some((piece) => piece.start > cue.start);
}
