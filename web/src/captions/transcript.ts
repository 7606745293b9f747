import { directionOf, t } from '../i18n';
import { el, icon } from '../ui/dom';
import { clock } from '../ui/format';
import { Announcer } from './announcer';
import { reachedBy, type TimelineCue } from './timeline';

/** Phrases kept on a live page. */
const CAPACITY = 5000;
/** Seconds of silence, and of speech, after which a live's next phrase begins a paragraph, sentence or not. */
const PAUSE = 2;
const PARAGRAPH = 20;
/** Pixels from the end within which the panel counts as following. */
const NEAR = 48;

interface Row {
  /** Its paragraph: a cue of a recording has its own, phrases of a live share one up to the sentence's end. */
  element: HTMLElement;
  text: HTMLElement;
  cue: TimelineCue;
  /** It was complete before: what people correct afterwards is not read again. */
  complete: boolean;
}

/** The transcript beside the picture: words appear as they are spoken, and lead to their place in a recording. */
export class Transcript {
  private readonly log = el('div', { class: 'transcript-log', 'data-transcript': '', role: 'group', tabindex: 0 });
  private readonly note = el('p', { class: 'transcript-note', role: 'status' });
  private readonly announcer = new Announcer();
  private readonly latest: HTMLButtonElement;
  private readonly tools = el('div', { class: 'transcript-tools' });
  private readonly rows = new Map<number, Row>();
  /** Cues that have words the picture has not reached, or a revision not yet drawn. */
  private readonly open = new Map<number, TimelineCue>();
  private following = true;
  private current: HTMLElement | null = null;

  /** `seek` leads a recording to a second; null on a live. */
  constructor(
    panel: HTMLElement,
    private readonly seek: ((seconds: number) => void) | null,
  ) {
    this.latest = el('button', { type: 'button', class: 'btn btn-sm btn-primary transcript-latest', hidden: true },
      icon('down'), t('transcript.latest'));
    this.latest.addEventListener('click', () => {
      this.follow(true);
    });
    this.log.setAttribute('aria-labelledby', 'transcript-heading');
    this.say(t('transcript.empty.live'));
    for (const kind of ['wheel', 'touchmove', 'keydown'] as const) {
      this.log.addEventListener(kind, () => requestAnimationFrame(() => { this.scrolled(); }), { passive: true });
    }
    this.log.addEventListener('scroll', () => { if (this.atEnd()) this.follow(true, false); }, { passive: true });
    panel.replaceChildren(
      el('div', { class: 'transcript-head' },
        el('h2', { id: 'transcript-heading' }, t('transcript.title')), this.tools),
      el('div', { class: 'transcript-body' }, this.log, this.latest),
      el('div', { class: 'transcript-foot' }, this.note, ...(seek === null ? this.announcer.elements : [])),
    );
  }

  /** It stands on the page, for somebody to read; an embedded player has none. */
  get visible(): boolean {
    return this.log.getClientRects().length > 0;
  }

  /** What stands beside the heading. */
  set aside(node: Node | null) {
    this.tools.replaceChildren(...(node === null ? [] : [node]));
  }

  /** Takes a cue or its revision; it is drawn when the picture reaches it. */
  take(cue: TimelineCue): void {
    this.open.set(cue.id, cue);
  }

  /** A remark under the words; empty takes it away. */
  remark(text: string): void {
    // Unchanged words are not written again: screen readers would repeat them.
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  /** Forgets all words and shows a message in their place. */
  clear(message: string): void {
    this.rows.clear();
    this.open.clear();
    this.current = null;
    this.announcer.begin();
    this.say(message);
    this.follow(true);
  }

  /** Draws what the picture has reached at `now` (seconds). */
  draw(now: number): void {
    let grown = false;
    this.announcer.reached(now);
    for (const [id, cue] of this.open) {
      if (cue.start > now && this.seek === null) continue;
      if (cue.pieces.length === 0) {
        this.withdraw(id);
        continue;
      }
      const reached = this.seek === null ? reachedBy(cue, now) : cue.pieces;
      if (reached.length === 0) continue;
      const row = this.row(cue);
      row.text.replaceChildren(
        ...reached.map((piece) => (piece.stable ? piece.text : el('span', { class: 'unstable' }, piece.text))));
      grown = true;
      if (reached.length < cue.pieces.length) continue;
      this.open.delete(id);
      if (!cue.final || row.complete) continue;
      row.complete = true;
      if (this.seek === null) this.announcer.take(cue, now);
    }
    if (this.seek === null) {
      if (grown && this.following) this.log.scrollTop = this.log.scrollHeight;
    } else {
      this.mark(now);
    }
  }

  private say(message: string): void {
    this.log.replaceChildren(...(message === '' ? [] : [el('p', { class: 'transcript-empty' }, message)]));
  }

  private row(cue: TimelineCue): Row {
    const known = this.rows.get(cue.id);
    if (known !== undefined) {
      known.cue = cue;
      return known;
    }
    const text = el('span', { lang: cue.lang, dir: directionOf(cue.lang) });
    const before = this.before(cue.id);
    let element: HTMLElement;
    if (this.seek === null && before !== null && this.continues(before, cue)) {
      element = before.element;
      before.text.after(' ', text);
    } else {
      element = el('p', { class: 'transcript-cue', 'data-id': cue.id }, this.time(cue), ' ', el('span', {}, text));
      if (this.rows.size === 0) this.log.replaceChildren();
      if (before === null) this.log.prepend(element);
      else before.element.after(element);
    }
    const row = { element, text, cue, complete: false };
    this.rows.set(cue.id, row);
    if (this.seek === null && this.rows.size > CAPACITY) this.forgetOldest();
    return row;
  }

  /** The row a cue's comes behind; they come in order but for late ones. */
  private before(id: number): Row | null {
    let found: Row | null = null;
    for (const row of this.rows.values()) {
      if (row.cue.id < id && row.cue.id > (found?.cue.id ?? -Infinity)) found = row;
    }
    return found;
  }

  /** A live's phrase goes on with the paragraph of the one before it. */
  private continues(before: Row, cue: TimelineCue): boolean {
    const said = before.cue.pieces.map((piece) => piece.text).join('');
    const began = this.rows.get(Number(before.element.dataset.id))?.cue.start ?? before.cue.start;
    if (before.cue.lang !== cue.lang) return false;
    return !endsSentence(said) && cue.start - before.cue.end < PAUSE && cue.start - began < PARAGRAPH;
  }

  private time(cue: TimelineCue): HTMLElement {
    const label = clock(cue.start);
    if (this.seek === null) return el('span', { class: 'transcript-time' }, label);
    const button = el('button', { type: 'button', class: 'transcript-time', 'aria-label': t('transcript.seek', { time: label }) }, label);
    const go = (): void => {
      this.seek?.(cue.start);
      this.follow(true, false);
    };
    button.addEventListener('click', go);
    queueMicrotask(() => {
      const text = this.rows.get(cue.id)?.text;
      text?.addEventListener('click', go);
      text?.classList.add('seekable');
    });
    return button;
  }

  private withdraw(id: number): void {
    this.open.delete(id);
    const row = this.rows.get(id);
    row?.text.remove();
    if (row?.element.querySelector('[lang]') === null) row.element.remove();
    this.rows.delete(id);
  }

  private forgetOldest(): void {
    const first = this.rows.keys().next();
    if (first.done !== true) this.withdraw(first.value);
  }

  /** Marks the cue being spoken in a recording and keeps it in view. */
  private mark(now: number): void {
    let found: HTMLElement | null = null;
    for (const { element, cue } of this.rows.values()) {
      if (cue.start <= now) found = element;
      else break;
    }
    if (found === this.current) return;
    this.current?.removeAttribute('aria-current');
    found?.setAttribute('aria-current', 'true');
    this.current = found;
    if (this.following) this.reveal();
  }

  private reveal(): void {
    if (this.seek === null) {
      this.log.scrollTop = this.log.scrollHeight;
    } else if (this.current !== null) {
      this.log.scrollTop = this.current.offsetTop - this.log.clientHeight / 3;
    }
  }

  private scrolled(): void {
    if (this.seek !== null || !this.atEnd()) this.follow(false);
  }

  private atEnd(): boolean {
    return this.seek === null && this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR;
  }

  private follow(on: boolean, move = true): void {
    this.following = on;
    this.latest.hidden = on;
    if (on && move) this.reveal();
  }
}

/** Whether a text ends with the end of a sentence; French has a space before a mark that closes a quotation. */
export function endsSentence(text: string): boolean {
  return /[.!?…。！？।۔][\u00A0\u202F"'”’»)\]」』]*$/u.test(text);
}
