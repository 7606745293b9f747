import * as api from '../api/client';
import { type Engine, WRAP } from '../player/engine';
import { t } from '../i18n';
import { Ahead } from './ahead';
import type { CaptionDesk } from './desk';
import { Lag } from './lag';
import { scalars } from './pieces';
import { shortcomings } from './quality';
import { before } from './seam';
import { CaptionSocket } from './socket';
import { Stage } from './stage';
import { CueTimeline, type Shown, textOf, type TimelineCue } from './timeline';
import type { Transcript } from './transcript';
import { parseVtt } from './vtt';
import type { CaptionEvent, CueEvent, Figures } from './wire';
import { spaced } from './wrap';

/** Milliseconds by which the anchors of two cues of one live may differ: they are rounded. */
const SAME_LIVE = 2000;
/** Failed connections in a row after which the captions of the playlist take over. */
const PATIENCE = 3;
/** Milliseconds for the last words of a track that comes to rest. */
const LAST_WORDS = 10_000;
/** Milliseconds within which a new subscription brings what was said before it. */
const PAST = 500;
/** Seconds by which a picture goes back that somebody sends back. */
const JUMP = 2;

/** The captions of a live: from the websocket, in step with the picture; from the playlist if that fails. */
export class LiveCaptions {
  /** The cues known. */
  readonly timeline = new CueTimeline();
  /** How late words come behind the picture. */
  readonly lag = new Lag();
  private readonly ahead = new Ahead();
  private readonly stage = new Stage(this.timeline);
  /** Milliseconds in which the viewer did not pause, up to `drawn`. */
  private clock = 0;
  private drawn = performance.now();
  /** When the first cue of this subscription came, null before it. */
  private first: number | null = null;
  private socket: CaptionSocket | null = null;
  /** The track that came to rest, until its last words have come. */
  private leaving: CaptionSocket | null = null;
  private lang: string | null = null;
  private engine: Engine | null = null;
  /** The viewer has gone back in the live. */
  private back = false;
  /** The track of which all that was said has been asked for. */
  private recalled: string | null = null;
  /** The picture's place when it was last drawn. */
  private place = 0;
  /** Milliseconds since 1970 of the timeline's zero. */
  private anchor: number | null = null;
  /** What the playlist's own track shows, while that is the source. */
  private fallback: Shown | null = null;
  private failing = false;
  /** What the server last said of the track. */
  private told: Figures | null = null;

  /** `hear` is given what the server says of the captions. */
  constructor(
    private readonly channel: string,
    private readonly desk: CaptionDesk,
    private readonly transcript: Transcript,
    private readonly hear: (figures: Figures) => void,
  ) {}

  /** Where the captions come from. */
  get source(): 'websocket' | 'track' {
    return this.failing ? 'track' : 'websocket';
  }

  /** The engine that plays now, null while none does; `back` in the live, or at its edge. */
  play(engine: Engine | null, back = false): void {
    this.engine = engine;
    // A stage knows what stood on it.
    if (back !== this.back) this.stage.clear();
    this.back = back;
    if (back) void this.recall();
    if (engine !== null) this.socket?.wake();
    this.lag.clear();
    this.ahead.clear();
    this.fall();
  }

  /** Takes another track; null for none. Where the lecture has `moved` on to it, what was said before stays. */
  follow(lang: string | null, moved = false): void {
    if (lang === this.lang) return;
    this.lang = lang;
    this.leaving?.close();
    this.leaving = null;
    if (moved) this.leave();
    else this.restart();
    this.socket?.close();
    this.socket = null;
    this.failing = false;
    this.fall();
    if (lang === null) return;
    this.socket = new CaptionSocket(this.channel, lang, {
      event: (event) => { this.event(event); },
      connection: (open, failures) => {
        // What opens may be dropped again: only an event ends the failure.
        if (failures >= PATIENCE) this.failing = true;
        if (!this.failing) this.transcript.remark(open ? this.origin() : t('transcript.reconnecting'));
        this.fall();
      },
    });
  }

  /** Draws what the picture has reached; `paused` by the viewer, words stay as long as he likes. */
  draw(paused: boolean): void {
    const time = performance.now();
    if (!paused) this.clock += time - this.drawn;
    this.drawn = time;
    if (this.failing) {
      this.desk.draw(this.fallback);
      this.transcript.draw(Infinity);
      return;
    }
    const now = this.now();
    if (now === null) return;
    // What was said before the viewer came is not made up for: the newest of it will do.
    if (this.first !== null && time - this.first < PAST) this.stage.clear();
    if (now < this.place - JUMP) this.retell();
    this.place = now;
    // What is behind the edge was there in time.
    this.desk.draw(this.back ? this.timeline.at(now) : this.stage.at(now, this.clock / 1000));
    this.transcript.draw(now);
  }

  /** The picture's place on the timeline in seconds; null before it plays. */
  now(): number | null {
    const place = this.engine?.place?.() ?? null;
    if (place !== null) return place + WRAP * Math.round(((this.timeline.all.at(-1)?.end ?? place) - place) / WRAP);
    const wall = this.engine?.programTime() ?? null;
    if (wall !== null && this.anchor !== null) return (wall - this.anchor) / 1000;
    // A player that keeps its clock to itself: words are shown as they come.
    if (this.engine !== null && this.engine.hls === null) return this.timeline.all.at(-1)?.end ?? null;
    return null;
  }

  private event(event: CaptionEvent): void {
    if (this.failing) {
      this.failing = false;
      this.fall();
      this.transcript.remark(this.origin());
      this.transcript.clear(this.timeline.all.length === 0 ? t('transcript.empty.live') : '');
      for (const cue of this.timeline.all) this.transcript.take(cue);
    }
    switch (event.type) {
      case 'cue':
        this.cue(event);
        break;
      case 'status':
        // The track that comes to rest has a status too.
        if (event.lang !== undefined && event.lang !== this.lang) break;
        this.hear({ ...event, ahead: this.ahead.share });
        this.told = event;
        if (event.languages !== undefined) this.desk.languages = event.languages;
        if (this.timeline.all.length > 0) this.transcript.remark(this.origin());
        break;
      case 'end':
        this.hear({ state: 'ended' });
        break;
    }
  }

  private cue(event: CueEvent): void {
    const wall = Date.parse(event.start_pdt ?? '');
    if (!Number.isNaN(wall)) {
      const anchor = wall - event.start * 1000;
      if (this.anchor !== null && Math.abs(anchor - this.anchor) > SAME_LIVE) this.restart();
      this.anchor ??= anchor;
    }
    this.first ??= performance.now();
    const cue = this.timeline.apply(event);
    if (cue === null) return;
    const now = this.now();
    // What came with the subscription was said before.
    if (now !== null && performance.now() - this.first > PAST) {
      this.lag.took(event, now);
      this.ahead.took(event, now);
    }
    this.transcript.take(cue);
    this.transcript.remark(this.origin());
  }

  private origin(): string {
    const source = this.failing ? (this.lang === this.desk.languages[0] ? 'asr' : 'mt') : this.timeline.all.at(-1)?.source;
    if (source === undefined || source === 'human') return '';
    const notes = shortcomings(this.failing ? null : this.told).map((note) => t(note));
    return [t(source === 'mt' ? 'transcript.translated' : 'transcript.machine'), ...notes].join(' · ');
  }

  /** Lets the present track say its last words beside the one that comes. */
  private leave(): void {
    const leaving = this.socket;
    this.leaving = leaving;
    this.socket = null;
    this.first = null;
    this.ahead.clear();
    window.setTimeout(() => { leaving?.close(); }, LAST_WORDS);
  }

  /** Asks for what was said before the viewer came, which he has gone back to. */
  private async recall(): Promise<void> {
    const { lang } = this;
    if (lang === null || this.recalled === lang) return;
    this.recalled = lang;
    let file: string;
    try {
      file = await api.text(`/api/v1/channels/${encodeURIComponent(this.channel)}/captions/${encodeURIComponent(lang)}.vtt`);
    } catch {
      this.recalled = null;
      return;
    }
    // Another live or another language may have come meanwhile.
    if (this.recalled !== lang || this.lang !== lang) return;
    const [first] = this.timeline.all;
    const known = first?.start ?? Infinity;
    // A file's captions are longer than phrases: one of them may reach into what is known, and is told up to it.
    const next = first === undefined ? '' : textOf(first.pieces).trim();
    const past = parseVtt(file, lang).filter(({ start }) => start < known).flatMap((event) => {
      if (event.end <= known) return [event];
      const text = before(event.text, next);
      if (text === null) return (event.start + event.end) / 2 < known ? [event] : [];
      return text === '' ? [] : [{ ...event, text, end: known, stable_len: scalars(text) }];
    });
    const source = lang === this.desk.languages[0] ? 'asr' : 'mt';
    past.forEach((event, index) => {
      const cue = this.timeline.apply({ ...event, id: (first?.id ?? 0) - past.length + index, source });
      if (cue !== null) this.transcript.take(cue);
    });
  }

  /** Has the transcript begin anew, and go as far as the picture has gone. */
  private retell(): void {
    this.transcript.clear('');
    for (const cue of this.timeline.all) this.transcript.take(cue);
  }

  private restart(): void {
    this.timeline.clear();
    this.recalled = null;
    this.place = 0;
    this.stage.clear();
    this.first = null;
    this.anchor = null;
    this.fallback = null;
    this.told = null;
    this.ahead.clear();
    this.transcript.clear(t('transcript.empty.live'));
    this.desk.draw(null);
  }

  /** Loads the playlist's track only while the websocket fails. */
  private fall(): void {
    this.fallback = null;
    const lang = this.failing ? this.lang : null;
    if (this.failing && this.engine !== null) {
      this.transcript.remark(this.engine.track === undefined ? t('transcript.reconnecting') : this.origin());
    }
    this.engine?.track?.(lang, (cues) => {
      const active = cues.map((cue) => fromTrack(cue, lang ?? ''));
      for (const cue of active) this.transcript.take(cue);
      const [cue] = active;
      this.fallback = cue === undefined ? null : { cue, pieces: active.flatMap(({ pieces }) => pieces) };
    });
  }
}

/** A cue of the playlist's own track, whose times are those of the picture. */
function fromTrack(cue: VTTCue, lang: string): TimelineCue {
  const start = cue.startTime;
  const text = spaced(cue.getCueAsHTML().textContent);
  return { id: Math.round(start * 1000), rev: 0, lang, start, end: cue.endTime, final: true, source: 'asr', timed: true,
    pieces: [{ text: ` ${text}`, start, stable: true }] };
}
