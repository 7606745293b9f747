import type { Channel, Recording } from '../api/types';
import { nameOfLanguage, plural, t, type Key } from '../i18n';
import { el, icon } from '../ui/dom';
import { ago, clock, moment } from '../ui/format';

/** Channels as cards, those that are live first. */
export function liveCards(channels: readonly Channel[], now: number): HTMLElement {
  const order = channels.toSorted((a, b) => Number(isOn(b)) - Number(isOn(a)));
  return list(order.map((channel) => {
    const languages = [channel.language, ...(channel.translate ?? [])].map(nameOfLanguage).join(', ');
    const state = channel.state ?? 'idle';
    const began = isOn(channel) ? ago(channel.started_at ?? undefined, now) : '';
    return card({
      href: `/watch/${encodeURIComponent(channel.name)}`,
      title: channel.title ?? channel.name,
      state, poster: isOn(channel) ? channel.poster : null, corner: null,
      facts: [
        began === '' ? '' : t('home.started', { when: began }),
        isOn(channel) && typeof channel.viewers === 'number' ? plural('viewers', channel.viewers) : '',
        t('home.captions', { languages }),
      ],
    });
  }));
}

/** Recordings as cards. */
export function recordingCards(recordings: readonly Recording[]): HTMLElement {
  return list(recordings.map((recording) => card({
    href: `/v/${encodeURIComponent(recording.id)}`,
    title: recording.title ?? recording.channel,
    state: recording.state,
    poster: recording.state === 'ready' ? recording.poster : null,
    corner: recording.duration ? clock(recording.duration) : null,
    facts: [moment(recording.started_at ?? undefined)],
  })));
}

/** What to do when no channel exists. */
export function noLives(): HTMLElement {
  return el('div', { class: 'empty' },
    icon('live'),
    el('div', {},
      el('h3', {}, t('home.lives.empty.title')),
      el('p', {}, t('home.lives.empty.text')),
      el('ol', {},
        el('li', {}, ...withCode('home.lives.empty.1', { command: 'amphi channel add NAME --title "…"' })),
        el('li', {}, ...withCode('home.lives.empty.2', { server: `rtmp://${location.hostname}/live` })),
        el('li', {}, t('home.lives.empty.3')))));
}

/** What will come when no recording exists. */
export function noRecordings(): HTMLElement {
  return el('div', { class: 'empty' },
    icon('play'),
    el('div', {},
      el('h3', {}, t('home.recordings.empty.title')),
      el('p', {}, t('home.recordings.empty.text'))));
}

interface Card {
  href: string;
  title: string;
  state: Channel['state'] | Recording['state'];
  poster: string | null | undefined;
  corner: string | null;
  facts: string[];
}

function card({ href, title, state, poster, corner, facts }: Card): HTMLElement {
  const badge = state === undefined || state === 'ready' ? null
    : el('span', { class: `state state-${state}` }, t(`state.${state}` satisfies Key));
  const picture = el('div', { class: 'card-picture' },
    poster ? el('img', { src: poster, alt: '', loading: 'lazy' }) : icon(state === 'ready' ? 'play' : 'live'),
    badge, corner === null ? null : el('span', { class: 'corner' }, corner));
  return el('li', { class: 'col' },
    el('article', { class: 'card lecture h-100' },
      picture,
      el('div', { class: 'card-body' },
        el('h3', { class: 'card-title' }, el('a', { href, class: 'stretched-link' }, title)),
        ...facts.filter((fact) => fact !== '').map((fact) => el('p', { class: 'card-fact' }, fact)))));
}

function list(cards: HTMLElement[]): HTMLElement {
  return el('ul', { class: 'row row-cols-1 row-cols-sm-2 row-cols-lg-3 row-cols-xl-4 g-4 list-unstyled' }, ...cards);
}

function isOn(channel: Channel): boolean {
  return channel.state === 'live' || channel.state === 'reconnecting';
}

/** A message whose `{name}`s become code. */
function withCode(key: Key, values: Record<string, string>): (Node | string)[] {
  return t(key).split(/(\{\w+\})/).map((part) => {
    const value = values[part.slice(1, -1)];
    return part.startsWith('{') && value !== undefined ? el('code', {}, value) : part;
  });
}
