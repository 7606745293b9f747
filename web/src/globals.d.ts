import type Hls from 'hls.js';
import type { Player } from 'video.js/core';

import type { CueTimeline } from './captions/timeline';

declare global {
  interface Window {
    /** What plays, for acceptance checks and the curious. */
    amphi?: {
      /** hls.js, null while nothing plays or the browser plays by itself. */
      readonly hls: Hls | null;
      readonly player: Player;
      readonly captions: {
        /** The language over the picture, or `off`. */
        readonly language: string;
        readonly languages: readonly string[];
        readonly source: string;
        readonly timeline: CueTimeline;
        /** The picture's place on the captions' timeline, in seconds. */
        readonly now: number | null;
        /** Nine of the last words in ten came no later than so many seconds behind the picture; null before that can be told. */
        readonly late?: number | null;
      };
    };
  }
}
