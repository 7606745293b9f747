import * as api from '../api/client';
import { CaptionSocket } from '../captions/socket';
import { CueTimeline } from '../captions/timeline';
import { Transcript } from '../captions/transcript';
import { plural, t } from '../i18n';
import { type Health, Publisher, type Publishing, type Refusal } from '../rtc/publisher';
import { el } from '../ui/dom';
import { decimal } from '../ui/format';
import { keep, streamKey } from './key';
import { Meter } from './meter';
import { type Device, DeviceError, type Picture, Sources } from './sources';

/** Milliseconds between drawings of the level, between looks at the connection, and at the viewers. */
const LEVEL = 100;
const HEALTH = 2000;
const VIEWERS = 5000;
/** Share of lost packets from which viewers notice. */
const LOSSY = 0.05;
const PICTURES: Picture[] = ['camera', 'screen', 'both'];

/** The lecturer's page: devices, a preview, going live, and what viewers read. */
export class Studio {
  private readonly preview = el('video', { class: 'studio-preview', muted: true, autoplay: true, playsinline: true, 'aria-label': t('studio.preview') });
  private readonly badge = el('p', { class: 'studio-state', role: 'status', 'data-studio-state': '' });
  private readonly problem = el('p', { class: 'alert alert-danger', role: 'alert', hidden: true });
  private readonly facts = el('p', { class: 'about-facts text-body-secondary', 'data-health': '' });
  private readonly title = el('h1', { id: 'studio-title', class: 'about-title' });
  private readonly cameras = el('select', { id: 'camera', class: 'form-select' });
  private readonly microphones = el('select', { id: 'microphone', class: 'form-select' });
  private readonly pictures = PICTURES.map((value) => el('input', { type: 'radio', class: 'form-check-input', name: 'picture', id: `picture-${value}`, value, checked: value === 'camera' }));
  private readonly key = el('input', { id: 'key', class: 'form-control', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'key-hint' });
  private readonly go = el('button', { type: 'submit', class: 'btn btn-primary btn-lg' });
  private readonly mute = el('button', { type: 'button', class: 'btn btn-outline-secondary', 'aria-pressed': 'false' }, t('studio.mute'));
  private readonly open = el('button', { type: 'button', class: 'btn btn-primary btn-lg' }, t('studio.open'));
  private readonly form = el('form', { class: 'studio-controls', novalidate: true, hidden: true });
  private readonly meter = new Meter();
  private readonly transcript: Transcript;
  private readonly timeline = new CueTimeline();
  private socket: CaptionSocket | null = null;
  private sources: Sources | null = null;
  private publisher: Publisher | null = null;
  private health: Health | null = null;
  private viewers: number | null = null;
  /** What is wrong for good. */
  private standing = '';

  constructor(
    private readonly name: string,
    private readonly container: HTMLElement,
    panel: HTMLElement,
  ) {
    this.transcript = new Transcript(panel, null);
    this.title.textContent = name;
    document.title = `${t('studio.title', { name })} · Amphi`;
    this.key.value = streamKey(name);
    this.preview.muted = true;
    this.lay();
    this.state('off');
    this.open.addEventListener('click', () => { void this.begin(); });
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.publisher === null) this.start();
      else this.end();
    });
    this.mute.addEventListener('click', () => { this.toggle(); });
    for (const radio of this.pictures) radio.addEventListener('change', () => { void this.show(radio.value as Picture); });
    this.cameras.addEventListener('change', () => { void this.show(this.sources?.picture ?? 'camera', this.cameras.value); });
    this.microphones.addEventListener('change', () => { void this.hear(this.microphones.value); });
    // A link with a key may be opened in the tab that shows this page already.
    window.addEventListener('hashchange', () => {
      const key = streamKey(this.name);
      if (key !== '' && this.publisher === null) this.key.value = key;
    });
    window.addEventListener('beforeunload', (event) => { if (this.publisher !== null) event.preventDefault(); });
    window.setInterval(() => { this.draw(); }, LEVEL);
    window.setInterval(() => { void this.measure(); }, HEALTH);
    window.setInterval(() => { void this.count(); }, VIEWERS);
    void this.describe();
  }

  private lay(): void {
    const field = (label: string, control: HTMLElement): HTMLElement =>
      el('div', { class: 'studio-field' }, el('label', { class: 'form-label', for: control.id }, label), control);
    const radios = this.pictures.map((radio, index) => el('div', { class: 'form-check' }, radio,
      el('label', { class: 'form-check-label', for: radio.id }, t(`studio.picture.${PICTURES[index] ?? 'camera'}`))));
    this.form.append(
      el('fieldset', { class: 'studio-field' }, el('legend', { class: 'form-label' }, t('studio.picture')), ...radios),
      field(t('studio.camera'), this.cameras),
      field(t('studio.microphone'), this.microphones),
      el('div', { class: 'studio-field' }, el('label', { class: 'form-label', for: 'key' }, t('studio.key')), this.key,
        el('div', { id: 'key-hint', class: 'form-text' }, t('studio.key.hint'))),
      el('div', { class: 'studio-actions' }, this.go, this.mute));
    this.container.append(
      el('div', { class: 'studio-head' }, this.title, this.badge),
      el('div', { class: 'studio-frame' }, this.preview),
      this.meter.element, this.problem, this.facts,
      el('div', { class: 'studio-open' }, el('p', {}, t('studio.lead')), this.open),
      this.form,
      el('p', {}, el('a', { href: `/watch/${encodeURIComponent(this.name)}`, target: '_blank', rel: 'noopener' }, t('studio.watch'))));
  }

  /** Title and captions; a channel that does not exist is said at once. */
  private async describe(): Promise<void> {
    try {
      const channel = await api.channel(this.name);
      this.title.textContent = channel.title ?? channel.name;
      this.follow(channel.language);
    } catch (error) {
      if (error instanceof api.ApiError && error.status === 404) {
        this.standing = t('studio.refused.missing', { name: this.name });
        this.complain('');
      } else window.setTimeout(() => { void this.describe(); }, VIEWERS);
    }
  }

  /** What viewers read, as it comes. */
  private follow(language: string): void {
    this.socket?.close();
    this.socket = new CaptionSocket(this.name, language, {
      event: (event) => {
        if (event.type === 'end') {
          this.timeline.clear();
          this.transcript.clear(t('transcript.empty.live'));
        }
        const cue = event.type === 'cue' ? this.timeline.apply(event) : null;
        if (cue === null) return;
        this.transcript.take(cue);
        this.transcript.draw(Infinity);
      },
      connection: (open) => { this.transcript.remark(open ? '' : t('transcript.reconnecting')); },
    });
  }

  /** Asks for the devices: browsers want a gesture, and people want to know why. */
  private async begin(): Promise<void> {
    this.open.disabled = true;
    this.complain('');
    try {
      this.sources ??= new Sources(
        (track) => { void this.publisher?.replace(track); },
        (device) => { void this.lost(device); });
      await this.sources.hear();
      await this.sources.show('camera').catch((error: unknown) => {
        // A computer without a camera can still show its screen.
        this.explain(error);
      });
      this.preview.srcObject = this.sources.stream;
      this.form.hidden = false;
      this.open.parentElement?.remove();
      navigator.mediaDevices.addEventListener('devicechange', () => { void this.list(); });
      (this.key.value === '' ? this.key : this.go).focus();
    } catch (error) {
      this.explain(error);
    }
    this.open.disabled = false;
    await this.list();
  }

  private async show(picture: Picture, camera?: string): Promise<void> {
    try {
      await this.sources?.show(picture, camera);
      this.complain('');
    } catch (error) {
      this.explain(error);
    }
    for (const radio of this.pictures) radio.checked = radio.value === this.sources?.picture;
    await this.list();
  }

  private async hear(microphone?: string): Promise<void> {
    try {
      await this.sources?.hear(microphone);
      this.complain('');
    } catch (error) {
      this.explain(error);
    }
    await this.list();
  }

  /** A cable was pulled, or the lecturer stopped sharing in the browser's own bar. */
  private async lost(device: 'camera' | 'microphone' | 'screen'): Promise<void> {
    const { sources } = this;
    if (device === 'microphone') await this.hear();
    else if (device === 'screen' && sources?.picture === 'both') await this.show('camera');
    else if (device === 'camera' && sources?.sharing === true) await this.show('screen');
    // Nobody is filmed who did not ask for it, and no screen can be shared without a click.
    else this.complain(t(device === 'screen' ? 'studio.stopped.screen' : 'studio.stopped.camera'));
  }

  private async list(): Promise<void> {
    if (this.sources === null) return;
    const { cameras, microphones } = await this.sources.devices();
    const fill = (select: HTMLSelectElement, devices: Device[]): void => {
      select.replaceChildren(...devices.map(({ id, label, used }, index) =>
        el('option', { value: id, selected: used }, label === '' ? t('studio.device', { number: index + 1 }) : label)));
      select.disabled = devices.length < 2;
    };
    fill(this.cameras, cameras);
    fill(this.microphones, microphones);
  }

  private start(): void {
    const { sources } = this;
    const key = this.key.value.trim();
    if (sources === null) return;
    if (key === '') {
      this.complain(t('studio.refused.nokey'));
      this.key.focus();
      return;
    }
    if (sources.stream.getVideoTracks().length === 0) {
      this.complain(t('studio.refused.nopicture'));
      return;
    }
    keep(this.name, key);
    this.complain('');
    this.publisher = new Publisher(`/whip/${encodeURIComponent(this.name)}`, key, sources.stream, {
      state: (state) => { this.state(state); },
      refused: (why, detail) => { this.refused(why, detail); },
    });
  }

  private end(): void {
    this.publisher?.stop();
    this.publisher = null;
    this.health = null;
    this.state('off');
  }

  private refused(why: Refusal, detail: string): void {
    this.end();
    if (why === 'key') {
      keep(this.name, '');
      this.key.select();
    }
    this.complain(`${t(`studio.refused.${why}`, { name: this.name })} ${detail}`.trim());
  }

  private toggle(): void {
    if (this.sources === null) return;
    this.sources.muted = !this.sources.muted;
    this.mute.setAttribute('aria-pressed', String(this.sources.muted));
  }

  private state(state: Publishing): void {
    this.container.dataset.state = state;
    const on = state !== 'off';
    if (state === 'live') this.socket?.wake();
    this.badge.textContent = t(`studio.state.${state}`);
    this.go.textContent = on ? t('studio.stop') : t('studio.go');
    this.go.classList.toggle('btn-danger', on);
    this.go.classList.toggle('btn-primary', !on);
    this.key.disabled = on;
  }

  private draw(): void {
    if (this.sources === null) return;
    this.meter.draw(this.sources.level(), this.sources.muted, performance.now());
  }

  private async measure(): Promise<void> {
    this.health = (await this.publisher?.health()) ?? null;
    this.tell();
  }

  private async count(): Promise<void> {
    if (this.publisher === null) this.viewers = null;
    else {
      try {
        this.viewers = (await api.channelStatus(this.name)).viewers ?? null;
      } catch {
        // The count is an ornament.
      }
    }
    this.tell();
  }

  private tell(): void {
    const { health, viewers } = this;
    const facts: string[] = [];
    if (viewers !== null) facts.push(plural('viewers', viewers));
    if (health !== null) {
      facts.push(t('studio.health', { megabits: decimal(health.bitrate / 1e6), frames: Math.round(health.frames) }));
      if ((health.loss ?? 0) > LOSSY) facts.push(t('studio.health.loss'));
      else if (health.limit !== null) facts.push(t(`studio.health.${health.limit}`));
    }
    this.facts.replaceChildren(...facts.map((fact) => el('span', {}, fact)));
  }

  private explain(error: unknown): void {
    if (!(error instanceof DeviceError)) throw error;
    if (error.trouble === 'cancelled') return;
    const device = t(`studio.device.${error.device}`);
    this.complain(t(`studio.trouble.${error.trouble}`, { device }));
  }

  private complain(text: string): void {
    const says = text === '' ? this.standing : text;
    this.problem.hidden = says === '';
    this.problem.textContent = says;
  }
}
