import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { directionOf, fill, LANGUAGES, nameOfLanguage, pick } from '../src/i18n';

const SOURCES = join(import.meta.dirname, '..');
const PAGES = ['index.html', 'watch.html', 'estimates.html', 'studio.html'];

const placeholders = (message: string) => [...message.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();

describe('the language files', () => {
  const { en, ...others } = LANGUAGES;

  it.each(Object.entries(others))('%s has the same keys and the same placeholders as English', (_, messages) => {
    expect(Object.keys(messages)).toEqual(Object.keys(en));
    for (const [key, message] of Object.entries(en)) {
      expect(placeholders((messages as Record<string, string>)[key] ?? ''), key).toEqual(placeholders(message));
    }
  });

  it('hold every key that the pages name', () => {
    for (const page of PAGES) {
      const html = readFileSync(join(SOURCES, page), 'utf8');
      for (const [, key] of html.matchAll(/data-i18n(?:-label)?="([^"]+)"/g)) expect(Object.keys(en)).toContain(key);
    }
  });

  it('hold no key that nothing uses', () => {
    const code = readdirSync(join(SOURCES, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.startsWith('i18n'))
      .map((name) => readFileSync(join(SOURCES, 'src', name), 'utf8'))
      .concat(PAGES.map((page) => readFileSync(join(SOURCES, page), 'utf8')))
      .join('\n');
    const built = ['state.', 'size.', 'contrast.', 'viewers.', 'delay.', ...['state.', 'picture.', 'refused.', 'device.', 'trouble.', 'health.', 'silent', 'loud'].map((part) => `studio.${part}`), ...['wer', 'chrf', 'good', 'fair', 'poor'].map((part) => `estimates.${part}`)];
    const unused = Object.keys(en).filter((key) => !built.some((prefix) => key.startsWith(prefix)) && !code.includes(key));
    expect(unused).toEqual([]);
  });
});

describe('choosing a language', () => {
  it('takes the first the page speaks, by its primary tag', () => {
    expect(pick(['', 'de-DE', 'fr-CA', 'en'])).toBe('fr');
    expect(pick(['ko'])).toBe('en');
    expect(pick(['toString'])).toBe('en');
  });

  it('names languages in their own language and knows their direction', () => {
    expect(nameOfLanguage('fr')).toBe('Français');
    expect(nameOfLanguage('not a tag')).toBe('not a tag');
    expect(directionOf('ar-EG')).toBe('rtl');
    expect(directionOf('en')).toBe('ltr');
  });

  it('fills placeholders and leaves unknown ones', () => {
    expect(fill('{a} of {b}', { a: 1 })).toBe('1 of {b}');
  });
});
