import * as api from '../api/client';
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
    this.timeline.clear();
    this.transcript.clear(lang === null ? t('transcript.empty.vod') : '');
    this.transcript.aside = null;
    if (lang === null) return;
    const url = `/vod/${encodeURIComponent(this.id)}/captions/${encodeURIComponent(lang)}.vtt`;
    let file: string;
    try {
      file = await api.text(url);
    } catch {
      if (this.lang === lang) this.transcript.clear(t('transcript.empty.vod'));
      return;
    }
    // Another language may have been chosen while this one was on its way.
    if (this.lang !== lang) return;
    for (const event of parseVtt(file, lang)) {
      const cue = this.timeline.apply(event);
      if (cue !== null) this.transcript.take(cue);
    }
    if (this.timeline.all.length === 0) this.transcript.clear(t('transcript.empty.vod'));
    this.transcript.aside = el('a', { class: 'btn btn-sm btn-outline-secondary', href: url, download: '' }, t('transcript.download'));
  }

  /** Draws what the picture has reached. */
  draw(): void {
    const now = this.now();
    this.desk.draw(this.timeline.at(now));
    this.transcript.draw(now);
  }
}
