import { nameOfLanguage, t } from '../i18n';
import { el } from '../ui/dom';
import { rows } from './quality';
import type { Figures } from './wire';

/** How the captions that are shown do, for those who open it. No live region: it changes every few seconds. */
export class Report {
  private readonly caption = el('caption');
  private readonly body = el('tbody');
  private readonly cells = new Map<string, HTMLElement>();
  private readonly details = el('details', { class: 'report', 'data-report': '', hidden: true },
    el('summary', {}, t('quality.title')), el('table', {}, this.caption, this.body));

  constructor(container: HTMLElement) {
    container.append(this.details);
  }

  /** Shows what is known of a track; what was known stays where no track is named. */
  draw(figures: Figures): void {
    if (figures.lang === undefined) return;
    this.details.hidden = false;
    write(this.caption, t('quality.of', { language: nameOfLanguage(figures.lang) }));
    for (const [key, value] of rows(figures)) {
      let cell = this.cells.get(key);
      if (cell === undefined) {
        cell = el('td');
        this.cells.set(key, cell);
        this.body.append(el('tr', {}, el('th', { scope: 'row' }, t(key)), cell));
      }
      write(cell, value);
    }
  }
}

/** Leaves what stands there already, and whoever reads or selects it just now. */
function write(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}
