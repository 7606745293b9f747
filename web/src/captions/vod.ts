import * as api from '../api/client';
import { Backoff } from '../backoff';
import { t } from '../i18n';
import { el } from '../ui/dom';
import type { CaptionDesk } from './desk';
import { CueTimeline } from './timeline';
import type { Transcript } from './transcript';
import { parseVtt } from './vtt';

/** The captions of a recording: whole files, fetched when their language is chosen. */
export class VodCaptions {
  /** The cues of the chosen track. */
  readonly timeline = new CueTimeline();
  readonly source = 'file';
  private lang: string | null = null;
  private timer: number | undefined;
  private readonly backoff = new Backoff(1000, 15_000);

  constructor(
    private readonly id: string,
    private readonly desk: CaptionDesk,
    private readonly transcript: Transcript,
    private readonly now: () => number,
  ) {}

  /** Takes another track; null for none. */
  async follow(lang: string | null): Promise<void> {
    if (lang === this.lang) return;
    this.lang = lang;
    clearTimeout(this.timer);
    this.backoff.reset();
    this.timeline.clear();
    this.transcript.clear(lang === null ? t('transcript.empty.vod') : '');
    this.transcript.remark('');
    this.transcript.aside = null;
    if (lang !== null) await this.load(lang);
  }

  private async load(lang: string): Promise<void> {
    const url = `/vod/${encodeURIComponent(this.id)}/captions/${encodeURIComponent(lang)}.vtt`;
    let file: string;
    try {
      file = await api.text(url);
    } catch (error) {
      if (this.lang === lang) this.failed(lang, error);
      return;
    }
    // Another language may have been chosen while this one was on its way.
    if (this.lang !== lang) return;
    this.transcript.remark('');
    for (const event of parseVtt(file, lang)) {
      const cue = this.timeline.apply(event);
      if (cue !== null) this.transcript.take(cue);
    }
    if (this.timeline.all.length === 0) this.transcript.clear(t('transcript.empty.vod'));
    this.transcript.aside = el('a', { class: 'btn btn-sm btn-outline-secondary', href: url, download: '' }, t('transcript.download'));
  }

  /** Only the server can say that there are none; whatever else fails may work soon. */
  private failed(lang: string, error: unknown): void {
    if (error instanceof api.ApiError && error.status === 404) {
      this.transcript.remark('');
      this.transcript.clear(t('transcript.empty.vod'));
      return;
    }
    this.transcript.remark(t('transcript.retrying'));
    this.timer = window.setTimeout(() => { void this.load(lang); }, this.backoff.next());
  }

  /** Draws what the picture has reached. */
  draw(): void {
    const now = this.now();
    this.desk.draw(this.timeline.at(now));
    this.transcript.draw(now);
  }
}
