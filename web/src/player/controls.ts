import type { Player } from 'video.js/core';

import { t } from '../i18n';
import { load, save } from '../settings';
import { el, icon } from '../ui/dom';
import type { Engine } from './engine';
import { openHelp } from './keyboard';
import { Menu } from './menu';

const AUTO = 'auto';
const RATES = [0.75, 1, 1.25, 1.5, 1.75, 2];

/** The remembered quality in lines; null for automatic. */
export function rememberedQuality(): number | null {
  const height = Number(load('quality'));
  return Number.isInteger(height) && height > 0 ? height : null;
}

/** Chooses among the engine's qualities. */
export function qualityMenu(host: HTMLElement, engine: () => Engine | null): Menu {
  let wanted = rememberedQuality();
  return new Menu('quality', t('controls.quality'), host, () => {
    const playing = engine();
    const { qualities = [], height = null } = playing ?? {};
    if (qualities.length < 2) return [];
    const auto = wanted === null && height !== null
      ? t('controls.quality.autoNow', { quality: `${height}p` })
      : t('controls.quality.auto');
    return [{
      label: t('controls.quality'),
      items: [
        { value: AUTO, label: auto },
        ...qualities.map((quality) => ({
          value: String(quality.height),
          label: quality.source ? t('controls.quality.source', { quality: `${quality.height}p` }) : `${quality.height}p`,
        })),
      ],
      value: qualities.some((quality) => quality.height === wanted) ? String(wanted) : AUTO,
      choose: (value) => {
        wanted = value === AUTO ? null : Number(value);
        save('quality', value);
        playing?.choose(wanted);
      },
    }];
  });
}

/** The name of the sound that was chosen last, null for the first. */
export function rememberedSound(): string | null {
  return load('sound');
}

/** Chooses among the engine's sounds. */
export function soundMenu(host: HTMLElement, engine: () => Engine | null): Menu {
  return new Menu('headphones', t('controls.sound'), host, () => {
    const playing = engine();
    return [{
      label: t('controls.sound'),
      items: (playing?.sounds ?? []).map(({ name, lang }) => ({ value: name, label: name, lang })),
      value: playing?.sound ?? '',
      choose: (name) => {
        save('sound', name);
        playing?.hear?.(name);
      },
    }];
  });
}

/** Chooses a recording's speed. */
export function speedMenu(host: HTMLElement, player: Player): Menu {
  return new Menu('speed', t('controls.speed'), host, () => [{
    label: t('controls.speed'),
    items: RATES.map((rate) => ({ value: String(rate), label: `${rate}×` })),
    value: String(player.playbackRate()),
    choose: (value) => { player.playbackRate(Number(value)); },
  }]);
}

/** Opens the list of keys. */
export function helpButton(): HTMLElement {
  const button = el('button', { type: 'button', class: 'amphi-menu-button', 'aria-label': t('controls.help'), title: t('controls.help') }, icon('help'));
  button.addEventListener('click', openHelp);
  return el('div', { class: 'vjs-control amphi-menu amphi-help' }, button);
}

/** Stands over the picture while it plays silently because the browser wants a gesture before sound. */
export class UnmuteButton {
  private readonly button = el('button', { type: 'button', class: 'btn btn-light unmute', hidden: true }, icon('sound'), t('watch.unmute'));

  constructor(host: HTMLElement, player: Player) {
    host.append(this.button);
    this.button.addEventListener('click', () => { player.muted(false); });
    player.on('volumechange', () => {
      if (!player.muted()) this.button.hidden = true;
    });
  }

  show(): void {
    this.button.hidden = false;
  }
}
