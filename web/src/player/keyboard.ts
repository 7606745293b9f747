import { type Key, t } from '../i18n';
import { load, save } from '../settings';
import { el } from '../ui/dom';

/** What the keys do; absent ones do nothing. */
export interface Shortcuts {
  play: () => void;
  mute: () => void;
  fullscreen: () => void;
  captions: () => void;
  /** By so many seconds, which are a step forward or back. */
  seek: (by: number) => void;
  step: number;
  /** Null in a recording. */
  live: (() => void) | null;
}

/** Listens on the whole page, but never where keys have a meaning of their own. */
export function listen(shortcuts: Shortcuts): void {
  // Who speaks to the computer, or has tremor, types letters unawares (WCAG 2.1.4). They can be switched off rather than
  // wait for the focus: the focus is on the player after a click, and elsewhere where a viewer wants `C` to work.
  const letters = el('input', { type: 'checkbox', id: 'letters' });
  letters.checked = load('letters') !== 'no';
  letters.addEventListener('change', () => { save('letters', letters.checked ? 'yes' : 'no'); });
  const help = helpDialog(shortcuts, letters);
  document.body.append(help);
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || help.open) return;
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest('input, select, textarea, [contenteditable], [role="slider"], [role="menu"]')) return;
    if ((event.key === ' ' || event.key === 'Enter') && target?.closest('button, a, summary')) return;
    if (event.key.length === 1 && event.key !== ' ' && !letters.checked) return;
    const action = actionOf(event.key, shortcuts, help);
    if (action === null) return;
    event.preventDefault();
    action();
  });
}

/** Opens the list of keys. */
export function openHelp(): void {
  document.querySelector<HTMLDialogElement>('#shortcuts')?.showModal();
}

function actionOf(key: string, shortcuts: Shortcuts, help: HTMLDialogElement): (() => void) | null {
  const { seek, step } = shortcuts;
  switch (key.toLowerCase()) {
    case ' ':
    case 'k':
      return shortcuts.play;
    case 'm':
      return shortcuts.mute;
    case 'f':
      return shortcuts.fullscreen;
    case 'c':
      return shortcuts.captions;
    case 'l':
      return shortcuts.live;
    case 'arrowleft':
      return () => { seek(-step); };
    case 'arrowright':
      return () => { seek(step); };
    case '?':
      return () => { help.showModal(); };
    default:
      return null;
  }
}

function helpDialog(shortcuts: Shortcuts, letters: HTMLElement): HTMLDialogElement {
  const rows: [string[], Key, boolean][] = [
    [[t('key.space'), 'K'], 'help.play', true],
    [['M'], 'help.mute', true],
    [['F'], 'help.fullscreen', true],
    [['C'], 'help.captions', true],
    [['←', '→'], 'help.seek', true],
    [['L'], 'help.live', shortcuts.live !== null],
    [['?'], 'help.help', true],
  ];
  const list = el('dl', { class: 'shortcuts' });
  for (const [keys, text] of rows.filter(([, , shown]) => shown)) {
    list.append(el('dt', {}, ...keys.flatMap((key) => [el('kbd', {}, key), ' '])), el('dd', {}, t(text, { seconds: shortcuts.step })));
  }
  return el('dialog', { id: 'shortcuts', 'aria-labelledby': 'shortcuts-title' },
    el('h2', { id: 'shortcuts-title' }, t('help.title')),
    list,
    el('p', {}, el('label', {}, letters, ' ', t('help.letters'))),
    el('form', { method: 'dialog' }, el('button', { class: 'btn btn-primary', autofocus: true }, t('help.close'))));
}
