import { el } from '../ui/dom';

/** A line over the picture that says what is wrong with it; screen readers read it when they pause. */
export class Notice {
  // It is there from the start: a live region that comes with its words is not read.
  private readonly line = el('p', { class: 'notice', role: 'status', 'data-notice': '' });

  constructor(host: HTMLElement) {
    host.append(this.line);
  }

  /** Says something; nothing takes the line away. */
  say(text: string): void {
    // Unchanged words are not written again: screen readers would repeat them.
    if (this.line.textContent !== text) this.line.textContent = text;
  }
}
