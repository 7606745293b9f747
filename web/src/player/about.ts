import type { Estimate } from '../api/types';
import { nameOfLanguage, plural, t } from '../i18n';
import { el, icon } from '../ui/dom';
import { clock, decimal } from '../ui/format';

/** The lines under the picture. */
export class About {
  private readonly title: HTMLElement;
  private readonly count = el('span', { class: 'about-viewers', hidden: true });
  private readonly live = el('span', { class: 'about-live', hidden: true }, t('state.live'));
  private readonly delay = el('span', { 'data-latency': '', hidden: true });
  private readonly words = el('span', { 'data-caption-lag': '', hidden: true });
  private readonly facts = el('p', { class: 'about-facts text-body-secondary' });
  private readonly worth = el('p', { class: 'about-facts text-body-secondary', 'data-estimates': '', hidden: true });

  constructor(container: HTMLElement, title: string) {
    this.title = el('h1', { class: 'about-title' });
    container.append(this.title, this.facts, this.worth);
    this.describe(title);
  }

  /** The title, and facts that stand under it. */
  describe(title: string, ...facts: string[]): void {
    this.title.textContent = title;
    document.title = `${title} · Amphi`;
    this.facts.replaceChildren(...facts.map((fact) => el('span', {}, fact)), this.live, this.delay, this.words, this.count);
  }

  /** What the live's captions were worth, as far as a machine can tell. */
  estimates(estimates: readonly Estimate[]): void {
    this.worth.hidden = estimates.length === 0;
    const line = ({ lang, measure, band }: Estimate): HTMLElement =>
      el('span', {}, t(`estimates.${measure}`, { language: nameOfLanguage(lang), band: t(`estimates.${band}`) }));
    this.worth.replaceChildren(...estimates.map(line), el('a', { href: '/about/estimates' }, t('estimates.about')));
  }

  /** Seconds behind the live edge; null while nothing is live. */
  latency(seconds: number | null): void {
    this.live.hidden = seconds === null;
    this.delay.hidden = seconds === null;
    let text = '';
    if (seconds !== null) {
      text = seconds < 60 ? t('watch.latency', { seconds: decimal(seconds) }) : t('rewind.behind', { time: clock(seconds) });
    }
    if (this.delay.textContent !== text) this.delay.textContent = text;
  }

  /** Seconds by which words come behind the picture; null where they come with it. */
  captionLag(seconds: number | null): void {
    this.words.hidden = seconds === null;
    const text = seconds === null ? '' : t('watch.captionLag', { seconds: decimal(Math.max(0, seconds)) });
    if (this.words.textContent !== text) this.words.textContent = text;
  }

  /** How many watch; null if the server does not say. */
  viewers(count: number | null): void {
    this.count.hidden = count === null;
    if (count !== null) this.count.replaceChildren(icon('viewers'), plural('viewers', count));
  }
}
