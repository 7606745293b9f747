import { t } from '../i18n';
import { el } from '../ui/dom';
import { clock } from '../ui/format';

/** Seconds of a step by key. */
export const STEP = 10;
/** Seconds behind the edge up to which a viewer is better off there. */
const EDGE = 8;
/** Seconds that the oldest picture stays away from the end of what there is. */
const MARGIN = 12;
/** Milliseconds within which a picture that was sent somewhere is there. */
const SOUGHT = 3000;
/** Seconds of a live from which there is something to go back to. */
const SHORTEST = 30;

/**
 * Where to go who asks for so many seconds behind the edge, in a live that reaches back so far; null for the edge
 * itself. Pure.
 */
export function place(behind: number, reach: number): number | null {
  const farthest = reach - MARGIN;
  return behind < EDGE || farthest < EDGE ? null : Math.min(behind, farthest);
}

/** Where a viewer is in a live that can be gone back in. Pure: `now` is in milliseconds. */
export class Whereabouts {
  /** Seconds that can be gone back, null where nothing can. */
  reach: number | null = null;
  /** Seconds behind the edge that he has gone, null at the edge. */
  behind: number | null = null;
  private sought = -Infinity;

  /** Goes so many seconds behind the edge, as far as there is something; whether that is not the edge itself. */
  go(wanted: number, now: number): boolean {
    const found = place(wanted, this.reach ?? 0);
    if (found === null) return false;
    this.behind = found;
    this.sought = now;
    return true;
  }

  /** Seconds behind the edge for somebody who has gone back, null at the edge; `latency` is what the engine says. */
  distance(latency: number | null, now: number): number | null {
    if (this.behind === null) return null;
    // An engine that has just been sent somewhere does not know yet where it is.
    return latency === null || latency < 1 || now - this.sought < SOUGHT ? this.behind : latency;
  }
}

/** How far behind the viewer is, in words. */
function words(behind: number | null): string {
  return behind === null ? t('state.live') : t('rewind.behind', { time: clock(behind) });
}

/** The slider over what can be gone back to, and what screen readers say of it. */
export class RewindBar {
  private readonly slider = el('input', { type: 'range', class: 'rewind-slider', min: 0, max: 0, step: STEP, value: 0,
    'aria-label': t('controls.rewind'), 'data-rewind': '' });
  private readonly time = el('span', { class: 'rewind-time', 'aria-hidden': 'true' });
  /** For the control bar. */
  readonly element = el('div', { class: 'vjs-control rewind-control', hidden: true }, this.slider, this.time);
  // It is there from the start: a live region that comes with its words is not read.
  private readonly said = el('span', { class: 'visually-hidden', role: 'status', 'data-rewound': '' });
  /** The viewer's hand is on it. */
  private held = false;

  /** `go` is asked to play so many seconds behind the edge; 0 is the edge. */
  constructor(host: HTMLElement, go: (behind: number) => void) {
    host.append(this.said);
    this.slider.addEventListener('pointerdown', () => { this.held = true; });
    for (const end of ['pointerup', 'pointercancel', 'blur']) this.slider.addEventListener(end, () => { this.held = false; });
    this.slider.addEventListener('input', () => { this.tell(-Number(this.slider.value)); });
    this.slider.addEventListener('change', () => {
      this.held = false;
      go(-Number(this.slider.value));
    });
  }

  /** Draws how far back there is something, null for nothing, and how far behind the viewer is, null at the edge. */
  draw(reach: number | null, behind: number | null): void {
    this.element.hidden = reach === null || reach < SHORTEST;
    if (reach === null || this.held) return;
    const [farthest, now] = [-STEP * Math.floor(reach / STEP), -STEP * Math.round((behind ?? 0) / STEP)];
    if (this.slider.min !== String(farthest)) this.slider.min = String(farthest);
    if (this.slider.value !== String(now)) this.slider.value = String(now);
    this.tell(behind);
  }

  /** Has screen readers say where the viewer is now, unless the slider does. */
  say(behind: number | null): void {
    this.said.textContent = document.activeElement === this.slider ? '' : words(behind);
  }

  private tell(behind: number | null): void {
    const place = behind === null || behind < EDGE ? null : behind;
    const [text, time] = [words(place), place === null ? '' : `−${clock(place)}`];
    // A picture that pauses falls behind all the time: what is read changes with each step alone.
    const coarse = words(place === null ? null : STEP * Math.round(place / STEP));
    if (this.slider.getAttribute('aria-valuetext') !== coarse) this.slider.setAttribute('aria-valuetext', coarse);
    if (this.time.textContent !== time) this.time.textContent = time;
    if (this.slider.title !== text) this.slider.title = text;
  }
}
