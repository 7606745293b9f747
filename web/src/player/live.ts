import * as api from '../api/client';
import type { Channel, ChannelStatus, Recording } from '../api/types';
import { Backoff } from '../backoff';
import { OFF } from '../captions/choice';
import { CaptionDesk } from '../captions/desk';
import { LiveCaptions } from '../captions/live';
import { shed } from '../captions/quality';
import { Report } from '../captions/report';
import { Transcript } from '../captions/transcript';
import type { Figures } from '../captions/wire';
import { t } from '../i18n';
import { el } from '../ui/dom';
import { About } from './about';
import { type Delay, DelayChoice } from './delay';
import { helpButton, qualityMenu, rememberedQuality, rememberedSound, soundMenu, UnmuteButton } from './controls';
import type { Engine, Failure } from './engine';
import { HlsEngine, hlsSupported } from './hls-engine';
import { listen } from './keyboard';
import { LiveBadge } from './live-badge';
import type { Menu } from './menu';
import { NativeEngine, nativeSupported } from './native-engine';
import { Notice } from './notice';
import { createScreen, playSomehow, type Screen } from './player';
import { probe } from './probe';
import { RewindBar, STEP as REWIND_STEP, Whereabouts } from './rewind';
import { Veil } from './veil';
import { Watchdog } from './watchdog';
import { HOLD_MAX, WhepEngine } from './whep-engine';

/** Milliseconds between looks while there is nothing to play, or nothing that moves. */
const POLL = 3000;
/** Milliseconds between looks at the viewers while it plays. */
const VIEWERS = 15_000;
/** Seconds behind the edge from which a picture that fell back by itself jumps. */
const BEHIND = 7;
/** Milliseconds between two such jumps. */
const JUMP = 4000;
/** Milliseconds behind the picture that words are taken to come before they were measured, and what is added then. */
const STEP = 1500;
const MARGIN = 200;
/** Milliseconds between two changes of that. */
const STEPS = 10_000;
/** Direct connections in a row that gave no picture, after which there is none here. */
const HOPELESS = 2;
/** Milliseconds of a direct picture without the captions' websocket, which comes back sooner where it only was cut. */
const DEAF = 7000;
/** Milliseconds that a remark on the connection stays. */
const REMARK = 20_000;
/** Seconds of a live that nobody misses at its end. */
const UNSEEN = 5;
/** Milliseconds between drawings of captions and latency. */
const TICK = 80;

/** The watch page of a channel: waits for the live, plays it, survives cuts, notices the end. */
export class LivePage {
  private readonly screen: Screen;
  private readonly veil: Veil;
  private readonly notice: Notice;
  private readonly transcript: Transcript;
  private readonly desk: CaptionDesk;
  private readonly captions: LiveCaptions;
  private readonly badge = new LiveBadge(() => { this.goLive(); });
  private readonly quality: Menu;
  private readonly sound: Menu;
  private readonly unmute: UnmuteButton;
  private readonly about: About;
  private readonly report: Report;
  private readonly bar: RewindBar;
  private readonly watchdog = new Watchdog();
  private readonly backoff = new Backoff(500, 8000);
  private engine: Engine | null = null;
  private timer: number | undefined;
  /** The playlist of the live that just ended may still be served: wait until it is gone or the API says live. */
  private over = false;
  private checking = false;
  /** The viewer paused: he stays where he is until he asks for the live edge. */
  private pausedByViewer = false;
  private jumped = 0;
  private readonly where = new Whereabouts();
  /** The playlist says that nothing more will come. */
  private complete = false;
  private readonly delay: DelayChoice;
  private failures = 0;
  private remarked = '';
  /** Since when the picture plays without the captions that its viewer wants, null where they come. */
  private deaf: number | null = null;
  /** The publisher is away. */
  private away = false;
  /** What the server last said of the captions to somebody who reads them. */
  private heard: Figures = { state: 'idle' };
  /** Milliseconds that the picture is held back for the words, and since when. */
  private held = STEP;
  private stepped = 0;

  constructor(
    private readonly name: string,
    container: HTMLElement,
    panel: HTMLElement,
    about: HTMLElement,
  ) {
    this.screen = createScreen(container, true);
    const host = this.screen.player.el();
    this.veil = new Veil(container, host);
    this.notice = new Notice(host);
    this.about = new About(about, name);
    this.report = new Report(about);
    this.transcript = new Transcript(panel, null);
    this.desk = new CaptionDesk(host, (language, moved) => { this.captions.follow(language, moved); });
    this.captions = new LiveCaptions(name, this.desk, this.transcript, (figures) => {
      this.hear(figures);
      if (figures.state === 'ended' && this.engine instanceof WhepEngine) this.ended();
      if (figures.state === 'live' && this.engine === null) this.again(0);
    });
    this.quality = qualityMenu(host, () => this.engine);
    this.sound = soundMenu(host, () => this.engine);
    this.unmute = new UnmuteButton(host, this.screen.player);
    this.delay = new DelayChoice(host, () => {
      this.failures = 0;
      this.stop();
      this.again(0);
    });
    this.bar = new RewindBar(host, (behind) => { this.goBack(behind); });
    for (const control of [this.badge.element, this.bar.element, this.desk.menu.element, this.sound.element, this.delay.menu.element, this.quality.element, helpButton()]) {
      this.screen.addControl(control);
    }
    this.keys();
    this.expose();
    this.screen.video.addEventListener('ended', () => { this.ended(); });
    document.addEventListener('visibilitychange', () => { this.catchUp(); });
    window.setInterval(() => { this.tick(); }, TICK);
    window.setInterval(() => { void this.countViewers(); }, VIEWERS);
    // What was known before it played leaves this viewer out.
    this.screen.video.addEventListener('playing', () => { window.setTimeout(() => { void this.countViewers(); }, POLL); }, { once: true });
    this.connecting();
    void this.describe();
    this.again(0);
  }

  /** Title and caption languages, asked until they are known. */
  private async describe(): Promise<void> {
    try {
      this.show(await api.channel(this.name));
    } catch (error) {
      if (error instanceof api.ApiError && error.status === 404) return;
      window.setTimeout(() => { void this.describe(); }, POLL);
    }
  }

  private show(channel: Channel): void {
    this.about.describe(channel.title ?? channel.name);
    if (channel.poster) this.screen.player.poster(channel.poster);
    this.desk.languages = [channel.language, ...(channel.translate ?? [])];
  }

  private again(wait: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => { void this.look(); }, wait);
  }

  /** Looks whether there is a live, and starts it. */
  private async look(): Promise<void> {
    if (this.checking || this.engine !== null) return;
    this.checking = true;
    const { probe: found, sure, viewers, rewind } = await probe(this.name);
    this.checking = false;
    this.about.viewers(viewers);
    this.where.reach = rewind;
    if (found === 'live' && (sure || !this.over)) {
      this.start();
      return;
    }
    if (found === 'idle' || found === 'missing') this.over = false;
    if (found === 'denied') this.veil.cover('error', t('watch.error.denied.title'), t('watch.error.denied.text'));
    else if (found === 'missing') {
      this.veil.cover('error', t('watch.error.missing.title', { name: this.name }), t('watch.error.missing.text'), this.home());
    } else if (this.veil.state !== 'ended') this.waiting(found === 'unknown');
    this.again(POLL);
  }

  /** Starts an engine; `seamless` after one that plays the same live, under the viewer's hand. */
  private start(seamless = false): void {
    const { behind } = this.where;
    const url = `/live/${encodeURIComponent(this.name)}/${behind === null ? 'index' : 'rewind'}.m3u8`;
    const listener = {
      failed: (why: Failure): void => { this.failed(why); },
      choices: (): void => { this.choices(); },
      complete: (): void => {
        this.complete = true;
        this.watchdog.complete();
      },
    };
    if (behind === null && this.delay.chosen !== 'relaxed') {
      const endpoint = `/whep/${encodeURIComponent(this.name)}`;
      this.engine = new WhepEngine(this.screen.video, endpoint, this.delay.chosen === 'step' ? this.held : 0, listener);
    } else if (hlsSupported()) this.engine = new HlsEngine(this.screen.video, url, rememberedQuality(), rememberedSound(), listener, behind);
    else if (nativeSupported()) this.engine = new NativeEngine(this.screen.video, url, listener, behind);
    else {
      this.veil.cover('error', t('watch.error.browser.title'), t('watch.error.browser.text'));
      return;
    }
    if (!seamless) this.connecting();
    this.watchdog.reset();
    this.complete = false;
    this.deaf = null;
    this.pausedByViewer = false;
    this.captions.play(this.engine, behind !== null);
    void playSomehow(this.screen.player).then((silent) => {
      if (silent) this.unmute.show();
    });
  }

  /** Called for every level and track: the playlist's languages stand in where the API gave none. */
  private choices(): void {
    this.quality.refresh();
    this.sound.refresh();
    if (this.desk.languages.length > 0) return;
    const tracks = this.engine?.hls?.subtitleTracks ?? [];
    this.desk.languages = tracks.flatMap((track) => (track.lang === undefined ? [] : [track.lang]));
  }

  private failed(why: Failure): void {
    if (this.complete && why === 'gone') {
      this.ended();
      return;
    }
    this.where.behind = null;
    if (this.engine instanceof WhepEngine && this.veil.state !== 'live' && (this.failures += 1) >= HOPELESS) {
      this.delay.giveUp();
      this.remark(t('watch.noDirect'));
    }
    if (why === 'narrow') {
      this.delay.relax();
      this.remark(t('watch.narrow'));
    }
    this.stop();
    if (why === 'denied') this.veil.cover('error', t('watch.error.denied.title'), t('watch.error.denied.text'));
    else this.waiting(true);
    this.again(this.backoff.next());
  }

  private ended(): void {
    const { duration, currentTime } = this.screen.video;
    // Who had gone back has not seen the rest.
    const at = this.where.behind !== null && duration - currentTime > UNSEEN ? this.engine?.programTime() ?? null : null;
    this.where.behind = null;
    this.stop();
    this.over = true;
    this.veil.cover('ended', t('watch.ended.title'), t('watch.ended.text'), this.home());
    this.again(POLL);
    void this.offerRecording(at);
  }

  /** Leads to the recording of the live just seen; who has not seen what came behind `at` goes on there. */
  private async offerRecording(at: number | null): Promise<void> {
    try {
      const isIt = (one: Recording): boolean => one.channel === this.name && (at === null || Date.parse(one.started_at ?? '') <= at);
      const recording = (await api.recordings()).find(isIt);
      if (recording === undefined || this.veil.state !== 'ended') return;
      const href = `/v/${encodeURIComponent(recording.id)}`;
      if (at !== null) location.assign(`${href}?at=${new Date(at).toISOString()}`);
      this.veil.cover('ended', t('watch.ended.title'), t('watch.ended.text'),
        el('a', { class: 'btn btn-primary', href }, t('watch.ended.recording')));
    } catch {
      // The list of lectures leads there too.
    }
  }

  /** While the publisher is away the picture stands still and there is no sound: the viewer hears why. */
  private publisher(state: string): void {
    this.away = state === 'reconnecting';
    this.speak();
  }

  /** What the server says of the captions: those who read them hear of what is wrong. */
  private hear(figures: Figures): void {
    this.report.draw(figures);
    // Captions that have failed say nothing of the publisher.
    if (figures.state !== 'failed') this.away = figures.state === 'reconnecting';
    const reads = this.engine !== null && this.desk.language !== null && (this.desk.chosen !== OFF || this.transcript.visible);
    const { load } = this.heard;
    this.heard = reads ? figures : { state: 'idle' };
    const less = reads ? shed(load, figures.load) : null;
    if (less === null) this.speak();
    else this.remark(t(less));
  }

  /** Says what is wrong, the gravest only. */
  private speak(): void {
    if (this.heard.state === 'failed') this.notice.say(t('watch.captions.failed'));
    else if (this.away) this.notice.say(t('watch.away'));
    else if (this.heard.state === 'restarting') this.notice.say(t('watch.captions.restarting'));
    else this.notice.say(this.remarked);
  }

  /** Says something about the way the picture comes, for as long as it takes to read. */
  private remark(text: string): void {
    this.remarked = text;
    this.speak();
    window.setTimeout(() => {
      if (this.remarked !== text) return;
      this.remarked = '';
      this.speak();
    }, REMARK);
  }

  private stop(): void {
    this.engine?.destroy();
    this.engine = null;
    this.captions.play(null);
    this.desk.draw(null);
    this.quality.refresh();
    this.sound.refresh();
    this.badge.draw(null, false);
    this.about.latency(null);
    this.about.captionLag(null);
  }

  private tick(): void {
    if (this.engine === null) return;
    const { video } = this.screen;
    this.captions.draw(video.paused);
    const latency = this.engine.latency();
    const distance = this.where.distance(latency, performance.now());
    if (distance === null) this.keepUp(latency);
    this.badge.draw(distance ?? latency, video.paused);
    this.bar.draw(this.where.reach, distance);
    this.about.latency(distance ?? latency);
    this.inStep(this.delay.chosen);
    const now = performance.now();
    switch (this.watchdog.look(video, now)) {
      case 'moving':
        if (this.veil.state !== 'live') this.veil.lift('live');
        this.backoff.reset();
        this.failures = 0;
        this.withWords(now);
        break;
      case 'stuck':
        if (this.engine.nudge() && this.watchdog.jump(now)) this.failed('media');
        break;
      case 'dead':
        this.failed('gone');
        break;
      case 'over':
        this.ended();
        break;
      case 'still':
        break;
    }
  }

  /** Says how late words come, or has the picture wait for nearly all of them. */
  private inStep(delay: Delay): void {
    if (!(this.engine instanceof WhepEngine)) return;
    const { lag } = this.captions;
    this.about.captionLag(delay === 'direct' && this.desk.chosen !== 'off' ? lag.centile(0.5) : null);
    const late = lag.centile(0.9);
    const now = performance.now();
    if (delay !== 'step' || late === null || now - this.stepped < STEPS) return;
    this.stepped = now;
    const wanted = Math.min(HOLD_MAX, Math.max(0, this.held + late * 1000 + MARGIN));
    // Each change is seen: the picture runs slower or faster for a moment.
    if (Math.abs(wanted - this.held) < 2 * MARGIN) return;
    this.held = wanted;
    this.engine.hold(wanted);
    lag.clear();
  }

  /** Without a websocket, words come with HLS alone: whoever wants them goes over to it. */
  private withWords(now: number): void {
    const lacking = this.engine instanceof WhepEngine && this.captions.source === 'track' && this.desk.chosen !== OFF;
    this.deaf = lacking ? (this.deaf ?? now) : null;
    if (this.deaf === null || now - this.deaf < DEAF) return;
    this.delay.relax();
    this.remark(t('watch.noWords'));
    this.stop();
    this.again(0);
  }

  private connecting(): void {
    this.veil.cover('waiting', t('watch.connecting.title'), '');
  }

  private waiting(connecting = false): void {
    if (connecting) this.veil.cover('waiting', t('watch.connecting.title'), t('watch.connecting.text'));
    else this.veil.cover('waiting', t('watch.waiting.title'), t('watch.waiting.text'));
  }

  /** Jumps to the edge where hls.js does not: it speeds up only within a target duration of its target. */
  private keepUp(latency: number | null): void {
    const { video } = this.screen;
    if (video.paused && !video.ended && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) this.pausedByViewer = true;
    const now = performance.now();
    if (this.pausedByViewer || latency === null || latency < BEHIND || now - this.jumped < JUMP) return;
    this.jumped = now;
    this.engine?.goLive();
  }

  private goLive(): void {
    this.pausedByViewer = false;
    if (this.where.behind === null) this.engine?.goLive();
    else {
      this.where.behind = null;
      this.bar.say(null);
      this.stop();
      this.start(true);
    }
    void playSomehow(this.screen.player);
  }

  /** Plays so many seconds behind the edge, as far as there is something. */
  private goBack(wanted: number): void {
    const { engine, where } = this;
    if (engine === null || where.reach === null) return;
    const first = where.behind === null;
    if (!where.go(wanted, performance.now())) {
      this.goLive();
      return;
    }
    this.bar.say(where.behind);
    if (!first && where.behind !== null && engine.goBack !== undefined) engine.goBack(where.behind);
    else {
      this.stop();
      this.start(true);
    }
  }

  /** A step back, or forward where the viewer is behind. */
  private seek(by: number): void {
    if (by > 0 && this.where.behind === null) return;
    const latency = this.engine?.latency() ?? null;
    this.goBack((this.where.distance(latency, performance.now()) ?? latency ?? 0) - by);
  }

  /** A page that comes back from the background does not stay behind. */
  private catchUp(): void {
    if (this.where.behind !== null) return;
    if (document.visibilityState === 'visible' && !this.pausedByViewer && (this.engine?.latency() ?? 0) > BEHIND) this.engine?.goLive();
  }

  private async countViewers(): Promise<void> {
    if (this.engine === null || document.visibilityState === 'hidden') return;
    try {
      const status = await api.channelStatus(this.name);
      this.about.viewers(status.viewers ?? null);
      this.where.reach = status.rewind ?? null;
      this.publisher(status.state);
      // The websocket tells of the return; where there is none, nobody else does.
      const deaf = this.captions.source === 'track';
      const track = status.captions?.find(({ lang }) => lang === this.desk.language);
      if (deaf && track !== undefined) this.hear(track);
      if (deaf) this.tracks(status);
      if (deaf && status.state === 'reconnecting') window.setTimeout(() => { void this.countViewers(); }, POLL);
    } catch {
      // The count is an ornament.
    }
  }

  /** Without the websocket, tracks that have come are in the playlist for those who load it again. */
  private tracks({ captions = [] }: ChannelStatus): void {
    const languages = captions.filter(({ current }) => current).map(({ lang }) => lang);
    if (languages.length === 0 || languages.join() === this.desk.languages.join()) return;
    this.desk.languages = languages;
    this.stop();
    this.again(0);
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
      seek: (by) => { this.seek(by); },
      step: REWIND_STEP,
      live: () => { this.goLive(); },
    });
  }

  private expose(): void {
    const { desk, captions } = this;
    const current = (): Engine | null => this.engine;
    window.amphi = {
      get hls() { return current()?.hls ?? null; },
      player: this.screen.player,
      captions: {
        get language() { return desk.chosen; },
        get languages() { return desk.languages; },
        get source() { return captions.source; },
        timeline: captions.timeline,
        get now() { return captions.now(); },
        get late() { return captions.lag.centile(0.9); },
      },
    };
  }
}
