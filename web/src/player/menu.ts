import { el, icon, type IconName } from '../ui/dom';

/** One thing to choose. */
export interface MenuItem {
  value: string;
  label: string;
  /** Language of the label, where it is not the page's. */
  lang?: string | undefined;
}

/** Things of which one is chosen. */
export interface MenuGroup {
  /** Shown above the items; may be empty where the button says it. */
  label: string;
  items: MenuItem[];
  value: string;
  choose(value: string): void;
}

/** A button with a menu of radio items (WAI-ARIA menu button pattern), for the control bar. */
export class Menu {
  readonly element = el('div', { class: 'vjs-control amphi-menu' });
  private readonly button: HTMLButtonElement;
  private readonly list: HTMLElement;
  private drawn = '';
  private drawing = false;

  /** `groups` is asked each time the menu opens or is refreshed. */
  constructor(
    name: IconName,
    label: string,
    private readonly host: HTMLElement,
    private readonly groups: () => MenuGroup[],
  ) {
    this.button = el('button', { type: 'button', class: 'amphi-menu-button', 'aria-haspopup': 'menu',
      'aria-expanded': 'false', 'aria-label': label, title: label }, icon(name));
    this.list = el('div', { class: 'amphi-menu-list', role: 'menu', 'aria-label': label, hidden: true });
    this.element.append(this.button, this.list);
    this.button.addEventListener('click', () => {
      this.show(this.list.hidden);
    });
    this.element.addEventListener('keydown', (event) => {
      this.key(event);
    });
    this.element.addEventListener('focusout', (event) => {
      // What is drawn anew has lost the focus for a moment: the menu stays open under the viewer's hand.
      if (this.drawing) return;
      if (!(event.relatedTarget instanceof Node && this.element.contains(event.relatedTarget))) this.show(false);
    });
    document.addEventListener('pointerdown', (event) => {
      if (!(event.target instanceof Node && this.element.contains(event.target))) this.show(false);
    });
    this.refresh();
  }

  /** Whether the button looks switched on. */
  set active(on: boolean) {
    this.element.classList.toggle('is-active', on);
  }

  /** Draws the items anew, and hides the button when there is nothing to choose. */
  refresh(): void {
    const groups = this.groups();
    this.element.hidden = groups.every((group) => group.items.length < 2);
    const state = JSON.stringify(groups);
    if (state === this.drawn) return;
    this.drawn = state;
    const focused = this.items().findIndex((item) => item === document.activeElement);
    this.drawing = true;
    this.list.replaceChildren(...groups.flatMap((group, index) => this.group(group, index)));
    if (focused >= 0) this.items()[focused]?.focus();
    this.drawing = false;
  }

  private group(group: MenuGroup, index: number): HTMLElement[] {
    const items = group.items.map((item) => {
      const node = el('button', { type: 'button', class: 'amphi-menu-item', role: 'menuitemradio', tabindex: -1,
        'aria-checked': item.value === group.value ? 'true' : 'false', lang: item.lang }, icon('check'), item.label);
      node.addEventListener('click', () => {
        group.choose(item.value);
        this.refresh();
        if (index === 0) this.show(false, true);
      });
      return node;
    });
    const label = group.label === '' ? null : el('div', { class: 'amphi-menu-label', 'aria-hidden': 'true' }, group.label);
    return [el('div', { role: 'group', 'aria-label': group.label === '' ? null : group.label }, label, ...items)];
  }

  private items(): HTMLElement[] {
    return Array.from(this.list.querySelectorAll<HTMLElement>('.amphi-menu-item'));
  }

  private show(open: boolean, refocus = false): void {
    if (open !== this.list.hidden) return;
    if (open) this.refresh();
    this.list.hidden = !open;
    this.button.setAttribute('aria-expanded', String(open));
    this.host.classList.toggle('amphi-menu-open', open);
    if (open) (this.list.querySelector<HTMLElement>('[aria-checked="true"]') ?? this.items()[0])?.focus();
    else if (refocus) this.button.focus();
  }

  private key(event: KeyboardEvent): void {
    const open = !this.list.hidden;
    const items = this.items();
    const at = items.findIndex((item) => item === document.activeElement);
    const step = (by: number): void => items.at((at + by + items.length) % items.length)?.focus();
    switch (event.key) {
      case 'Escape':
        if (!open) return;
        this.show(false, true);
        break;
      case 'Tab':
        this.show(false);
        return;
      case 'ArrowDown':
        if (open) step(1);
        else this.show(true);
        break;
      case 'ArrowUp':
        if (open) step(-1);
        else this.show(true);
        break;
      case 'Home':
        if (!open) return;
        items[0]?.focus();
        break;
      case 'End':
        if (!open) return;
        items.at(-1)?.focus();
        break;
      case ' ':
      case 'Enter':
        // The browser clicks; the page's shortcuts must not see it.
        event.stopPropagation();
        return;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
