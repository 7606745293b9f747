import { t } from '../i18n';
import { el } from '../ui/dom';

/** Seconds behind the edge from which the badge offers to catch up. */
const BEHIND = 6;

/** "Live" in the control bar, dimmed when the viewer has fallen behind; leads back to the edge. */
export class LiveBadge {
  private readonly button = el('button', { type: 'button', class: 'live-badge' },
    el('span', { class: 'live-dot', 'aria-hidden': 'true' }), el('span', {}, t('state.live')));
  /** For the control bar. */
  readonly element = el('div', { class: 'vjs-control live-control' }, this.button);

  constructor(goLive: () => void) {
    this.button.addEventListener('click', goLive);
    this.draw(null, false);
  }

  /** `latency` in seconds, null if unknown. */
  draw(latency: number | null, paused: boolean): void {
    const behind = paused || (latency ?? 0) > BEHIND;
    this.element.hidden = latency === null;
    this.button.classList.toggle('is-behind', behind);
    const label = behind ? t('watch.goLive') : t('state.live');
    if (this.button.title !== label) {
      this.button.title = label;
      // The name holds the words that are seen: people speak them to their computer.
      this.button.setAttribute('aria-label', behind ? `${t('state.live')} – ${label}` : label);
    }
  }
}
