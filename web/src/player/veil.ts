import { el } from '../ui/dom';

/** What the player is doing; the value of `data-state`. */
export type PlayerState = 'waiting' | 'live' | 'ended' | 'vod' | 'error';

/** The state of the player and the message that covers the picture while there is none. */
export class Veil {
  private readonly title = el('p', { class: 'veil-title' });
  private readonly text = el('p', { class: 'veil-text' });
  private readonly actions = el('p', { class: 'veil-actions' });
  private readonly box = el('div', { class: 'veil', role: 'status' },
    el('div', { class: 'veil-waves', 'aria-hidden': 'true' }, el('i'), el('i'), el('i'), el('i'), el('i')),
    this.title, this.text, this.actions);

  constructor(
    private readonly container: HTMLElement,
    host: HTMLElement,
  ) {
    host.append(this.box);
    this.box.hidden = true;
  }

  /** The state as checks and style sheets see it. */
  get state(): PlayerState {
    return this.container.dataset.state as PlayerState;
  }

  /** Enters a state with the picture in view. */
  lift(state: PlayerState): void {
    this.container.dataset.state = state;
    this.box.hidden = true;
  }

  /** Enters a state with a message over the picture; `actions` are links or buttons. */
  cover(state: PlayerState, title: string, text: string, ...actions: HTMLElement[]): void {
    this.container.dataset.state = state;
    this.box.hidden = false;
    // Unchanged words are not written again: screen readers would repeat them.
    if (this.title.textContent !== title) this.title.textContent = title;
    if (this.text.textContent !== text) this.text.textContent = text;
    this.actions.replaceChildren(...actions);
  }
}
