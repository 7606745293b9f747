import type { TrackListener } from './engine';

/** Follows one of a `<video>`'s text tracks by language, hidden, as it may appear later than it is asked for. */
export class TrackFollower {
  private track: TextTrack | null = null;
  private lang: string | null = null;
  private listener: TrackListener = () => undefined;

  constructor(private readonly video: HTMLVideoElement) {
    video.textTracks.addEventListener('addtrack', this.look);
  }

  /** Another language, or none. */
  follow(lang: string | null, listener: TrackListener): void {
    this.lang = lang;
    this.listener = listener;
    this.look();
  }

  destroy(): void {
    this.video.textTracks.removeEventListener('addtrack', this.look);
    this.follow(null, this.listener);
  }

  private readonly look = (): void => {
    const wanted = this.lang === null ? null : this.find(this.lang);
    if (wanted === this.track) return;
    if (this.track !== null) {
      this.track.removeEventListener('cuechange', this.changed);
      this.track.mode = 'disabled';
    }
    this.track = wanted;
    if (wanted !== null) {
      wanted.mode = 'hidden';
      wanted.addEventListener('cuechange', this.changed);
    }
    this.changed();
  };

  private find(lang: string): TextTrack | null {
    return Array.from(this.video.textTracks).find(
      (track) => track.language === lang && (track.kind === 'subtitles' || track.kind === 'captions')) ?? null;
  }

  private readonly changed = (): void => {
    this.listener(Array.from(this.track?.activeCues ?? []).filter((cue) => cue instanceof VTTCue));
  };
}
