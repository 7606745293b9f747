import { load, save } from '../settings';
import { en } from './en';
import { fr } from './fr';

/** A message's key. */
export type Key = keyof typeof en;
/** One language's messages. */
export type Messages = Record<Key, string>;
/** Keys that exist as `.one` and `.other`. */
type PluralKey = Key extends infer K ? (K extends `${infer Base}.one` ? Base : never) : never;

/** The page's languages, by tag. */
export const LANGUAGES = { en, fr } as const satisfies Record<string, Messages>;
/** A language the page speaks. */
export type Language = keyof typeof LANGUAGES;

/** The first of `wanted` that the page speaks, English otherwise. */
export function pick(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const primary = tag.toLowerCase().split('-')[0] ?? '';
    if (isLanguage(primary)) return primary;
  }
  return 'en';
}

/** The language of this page: the viewer's choice, else the browser's. */
export const language: Language = pick([load('language') ?? '', ...browserLanguages()]);

/** Remembers another language; the page shows it from its next load. */
export function choose(tag: Language): void {
  save('language', tag);
}

/** A message in the page's language, with `{name}` filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const message: string = LANGUAGES[language][key];
  return fill(message, values);
}

/** A message that depends on a count. */
export function plural(key: PluralKey, count: number): string {
  const form = new Intl.PluralRules(language).select(count) === 'one' ? 'one' : 'other';
  return t(`${key}.${form}`, { count: new Intl.NumberFormat(language).format(count) });
}

/** `{name}` replaced by `values.name`; unknown names stay. */
export function fill(message: string, values: Record<string, string | number>): string {
  return message.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** A language's own name for itself ("en" → "English"), its tag if the browser knows none. */
export function nameOfLanguage(tag: string): string {
  try {
    const name = new Intl.DisplayNames([tag], { type: 'language' }).of(tag) ?? tag;
    return name.charAt(0).toLocaleUpperCase(tag) + name.slice(1);
  } catch {
    return tag;
  }
}

/** `rtl` or `ltr`. */
export function directionOf(tag: string): 'rtl' | 'ltr' {
  const rtl = ['ar', 'dv', 'fa', 'he', 'ku', 'ps', 'sd', 'ug', 'ur', 'yi'];
  return rtl.includes(tag.toLowerCase().split('-')[0] ?? '') ? 'rtl' : 'ltr';
}

/** Fills every element with `data-i18n` (text) and `data-i18n-label` (aria-label). */
export function translatePage(root: ParentNode = document): void {
  document.documentElement.lang = language;
  for (const node of root.querySelectorAll<HTMLElement>('[data-i18n]')) {
    node.textContent = t(node.dataset.i18n as Key);
  }
  for (const node of root.querySelectorAll<HTMLElement>('[data-i18n-label]')) {
    node.setAttribute('aria-label', t(node.dataset.i18nLabel as Key));
  }
}

function isLanguage(tag: string): tag is Language {
  return Object.hasOwn(LANGUAGES, tag);
}

function browserLanguages(): readonly string[] {
  return typeof navigator === 'undefined' ? [] : navigator.languages;
}
