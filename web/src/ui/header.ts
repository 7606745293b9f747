import logo from '../assets/logo.svg';
import { choose, language, LANGUAGES, type Language, nameOfLanguage, t } from '../i18n';
import { byId, el } from './dom';

/** Fills the page's header: brand, way home, language switch. */
export function header(): void {
  const select = el('select', { id: 'page-language', class: 'form-select form-select-sm' });
  for (const tag of Object.keys(LANGUAGES)) {
    select.append(el('option', { value: tag, lang: tag, selected: tag === language }, nameOfLanguage(tag)));
  }
  select.addEventListener('change', () => {
    choose(select.value as Language);
    location.reload();
  });
  byId('site-header').replaceChildren(
    el('div', { class: 'container-fluid site-bar' },
      el('a', { class: 'brand', href: '/' }, el('img', { src: logo, alt: '', width: 30, height: 30 }), 'Amphi'),
      el('nav', { 'aria-label': t('header.nav'), class: 'site-nav' },
        el('a', { href: '/', 'aria-current': location.pathname === '/' ? 'page' : null }, t('header.home'))),
      el('label', { class: 'visually-hidden', for: 'page-language' }, t('header.language')),
      select),
  );
}
