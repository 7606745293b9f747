import * as api from '../api/client';
import type { Recording } from '../api/types';
import { CaptionDesk } from '../captions/desk';
import { Transcript } from '../captions/transcript';
import { VodCaptions } from '../captions/vod';
import { t } from '../i18n';
import { el } from '../ui/dom';
import { clock, moment } from '../ui/format';
import { About } from './about';
import { helpButton, qualityMenu, rememberedQuality, rememberedSound, soundMenu, speedMenu, UnmuteButton } from './controls';
import type { Engine } from './engine';
import { HlsEngine, hlsSupported } from './hls-engine';
import { listen } from './keyboard';
import type { Menu } from './menu';
import { NativeEngine, nativeSupported } from './native-engine';
import { createScreen, playSomehow, type Screen } from './player';
import { Veil } from './veil';

/** Milliseconds between looks while the recording is not ready, or does not load. */
const POLL = 3000;
/** Milliseconds between drawings of captions. */
const TICK = 80;

/** The page of a recording: waits until it is ready, plays it, seeks by its transcript. */
export class VodPage {
  private readonly screen: Screen;
  private readonly veil: Veil;
  private readonly desk: CaptionDesk;
  private readonly captions: VodCaptions;
  private readonly quality: Menu;
  private readonly sound: Menu;
  private readonly unmute: UnmuteButton;
  private readonly about: About;
  private engine: Engine | null = null;
  /** Where to go on after a failure, in seconds. */
  private resume = startFromAddress();
  /** Where to begin instead: with what was on show at this time of day, in milliseconds since 1970. */
  private dated = dateFromAddress();

  constructor(
    private readonly id: string,
    container: HTMLElement,
    panel: HTMLElement,
    about: HTMLElement,
  ) {
    this.screen = createScreen(container, false);
    const { player, video } = this.screen;
    const host = player.el();
    this.veil = new Veil(container, host);
    this.about = new About(about, '');
    const transcript = new Transcript(panel, (seconds) => { this.seek(seconds); });
    this.desk = new CaptionDesk(host, (language) => { void this.captions.follow(language); });
    this.captions = new VodCaptions(id, this.desk, transcript, () => video.currentTime);
    this.quality = qualityMenu(host, () => this.engine);
    this.sound = soundMenu(host, () => this.engine);
    this.unmute = new UnmuteButton(host, player);
    for (const control of [speedMenu(host, player).element, this.desk.menu.element, this.sound.element, this.quality.element, helpButton()]) {
      this.screen.addControl(control);
    }
    this.keys();
    this.expose();
    window.setInterval(() => { if (this.engine !== null) this.captions.draw(); }, TICK);
    this.veil.cover('waiting', t('watch.connecting.title'), '');
    void this.look();
  }

  private async look(): Promise<void> {
    let recording: Recording;
    try {
      recording = await api.recording(this.id);
    } catch (error) {
      this.refused(error instanceof api.ApiError ? error.status : 0);
      return;
    }
    const date = moment(recording.started_at ?? undefined);
    this.about.describe(recording.title ?? recording.channel, ...[date, recording.duration ? clock(recording.duration) : ''].filter((fact) => fact !== ''));
    this.about.estimates(recording.estimates ?? []);
    switch (recording.state) {
      case 'ready':
        this.desk.languages = recording.captions ?? [];
        if (this.desk.languages.length === 0) await this.captions.follow(null);
        this.start();
        break;
      case 'recording':
        this.veil.cover('waiting', t('state.recording'), t('watch.processing.text'),
          el('a', { class: 'btn btn-primary', href: `/watch/${encodeURIComponent(recording.channel)}` }, t('home.watch')));
        this.again();
        break;
      case 'processing':
        this.veil.cover('waiting', t('watch.processing.title'), t('watch.processing.text'));
        this.again();
        break;
      case 'failed':
        this.veil.cover('error', t('watch.error.failed.title'), t('watch.error.failed.text'), this.home());
        break;
    }
  }

  private refused(status: number): void {
    if (status === 404) this.veil.cover('error', t('watch.error.recording.title'), t('watch.error.recording.text'), this.home());
    else if (status === 401 || status === 403) this.veil.cover('error', t('watch.error.denied.title'), t('watch.error.denied.text'));
    else this.again();
  }

  private again(): void {
    window.setTimeout(() => { void this.look(); }, POLL);
  }

  private start(): void {
    const url = `/vod/${encodeURIComponent(this.id)}/index.m3u8`;
    const { video, player } = this.screen;
    const listener = {
      failed: (): void => {
        this.resume = video.currentTime;
        this.engine?.destroy();
        this.engine = null;
        this.veil.cover('waiting', t('watch.connecting.title'), t('watch.connecting.text'));
        this.again();
      },
      choices: (): void => {
        this.quality.refresh();
        this.sound.refresh();
      },
      complete: (): void => undefined,
    };
    if (hlsSupported()) this.engine = new HlsEngine(video, url, rememberedQuality(), rememberedSound(), listener);
    else if (nativeSupported()) this.engine = new NativeEngine(video, url, listener);
    else {
      this.veil.cover('error', t('watch.error.browser.title'), t('watch.error.browser.text'));
      return;
    }
    video.addEventListener('loadedmetadata', () => {
      const dated = this.dated === null ? null : this.engine?.timeOf?.(this.dated);
      this.dated = null;
      const place = dated ?? this.resume;
      if (place > 0) video.currentTime = place;
    }, { once: true });
    this.veil.lift('vod');
    void playSomehow(player).then((silent) => {
      if (silent) this.unmute.show();
    });
  }

  private seek(seconds: number): void {
    this.screen.player.currentTime(seconds);
    void playSomehow(this.screen.player);
  }

  private home(): HTMLElement {
    return el('a', { class: 'btn btn-primary', href: '/' }, t('header.home'));
  }

  private keys(): void {
    const { player } = this.screen;
    listen({
      play: () => { if (player.paused()) void playSomehow(player); else player.pause(); },
      mute: () => { player.muted(!player.muted()); },
      fullscreen: () => { if (player.isFullscreen()) player.exitFullscreen(); else player.requestFullscreen(); },
      captions: () => { this.desk.toggle(); },
      seek: (by) => { player.currentTime(Math.max(0, player.currentTime() + by)); },
      step: 5,
      live: null,
    });
  }

  private expose(): void {
    const { desk, captions, screen } = this;
    const current = (): Engine | null => this.engine;
    window.amphi = {
      get hls() { return current()?.hls ?? null; },
      player: screen.player,
      captions: {
        get language() { return desk.chosen; },
        get languages() { return desk.languages; },
        source: captions.source,
        timeline: captions.timeline,
        get now() { return screen.video.currentTime; },
      },
    };
  }
}

/** `?t=SECONDS` of the address; 0 without. */
function dateFromAddress(): number | null {
  const date = Date.parse(new URLSearchParams(location.search).get('at') ?? '');
  return Number.isNaN(date) ? null : date;
}

function startFromAddress(): number {
  const seconds = Number(new URLSearchParams(location.search).get('t'));
  return Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
}
