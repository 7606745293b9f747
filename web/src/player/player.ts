import './no-dynamic-style';

import videojs, { type Player } from 'video.js/core';
import frenchControls from 'video.js/dist/lang/fr.json';

import { language } from '../i18n';
import { load, save } from '../settings';
import { el } from '../ui/dom';

/** A video.js player and the `<video>` inside it, which the engine feeds. */
export interface Screen {
  player: Player;
  video: HTMLVideoElement;
  /** Where controls of our own go, before the full-screen button. */
  addControl(node: HTMLElement): void;
}

/** Puts a player into `container`; a live has no progress bar. */
export function createScreen(container: HTMLElement, live: boolean): Screen {
  videojs.addLanguage('fr', frenchControls);
  const video = el('video', { class: 'video-js', playsinline: true, crossorigin: 'anonymous' });
  container.append(video);
  const player = videojs(video, {
    controls: true,
    preload: 'auto',
    fill: true,
    language,
    liveui: false,
    // An iPhone's own full screen shows the bare <video>: the whole window keeps the captions.
    preferFullWindow: true,
    experimentalSvgIcons: true,
    errorDisplay: false,
    inactivityTimeout: 2500,
    userActions: { hotkeys: false },
    html5: { nativeTextTracks: true, nativeAudioTracks: true, nativeVideoTracks: true },
    children: ['mediaLoader', 'posterImage', 'loadingSpinner', 'bigPlayButton', 'controlBar'],
    controlBar: {
      volumePanel: { inline: true },
      children: live
        ? ['playToggle', 'volumePanel', 'customControlSpacer', 'fullscreenToggle']
        : ['playToggle', 'volumePanel', 'currentTimeDisplay', 'timeDivider', 'durationDisplay', 'progressControl',
            'customControlSpacer', 'fullscreenToggle'],
    },
  });
  const volume = Number(load('volume') ?? '1');
  if (volume > 0 && volume <= 1) player.volume(volume);
  player.on('volumechange', () => {
    if (!player.muted()) save('volume', player.volume().toFixed(2));
  });
  const bar = player.el().querySelector('.vjs-control-bar');
  const fullscreen = player.el().querySelector('.vjs-fullscreen-control');
  const media = player.el().querySelector('video');
  if (bar === null || media === null) throw new Error('video.js made no control bar');
  // video.js plays only what has an address, and a WebRTC stream has none.
  const address = player.currentSrc.bind(player);
  player.currentSrc = () => (media.srcObject === null ? address() : 'about:blank');
  return {
    player,
    video: media,
    addControl: (node) => {
      bar.insertBefore(node, fullscreen);
    },
  };
}

/** Plays, without sound where the browser asks for a gesture first; true if sound is missing for that reason. */
export async function playSomehow(player: Player): Promise<boolean> {
  try {
    await player.play();
    return false;
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return false;
  }
  player.muted(true);
  try {
    await player.play();
  } catch {
    // Not even silently: the big play button stands there.
    return false;
  }
  return true;
}
