/** What a look at the picture says. */
export type Look = 'moving' | 'still' | 'stuck' | 'dead' | 'over';

/** Milliseconds without movement until the picture is nudged, again and again. */
const STUCK = 4000;
/** Milliseconds within which a second jump that does not get it going for good proves the player confused. */
const CONFUSED = 20_000;
/** Milliseconds without movement until everything is made anew. */
const DEAD = 45_000;
/** Milliseconds without movement after which a complete playlist has been played, where at most so many seconds are left:
 * sound and picture end apart. Further from its end the picture waits for a slow network. */
const OVER = 3000;
const NEAR = 2;

/** Watches whether a picture that should move does. Pure: time is an argument, in milliseconds. */
export class Watchdog {
  private last: number | null = null;
  private since: number | null = null;
  private nudged = 0;
  private isComplete = false;
  private jumped: number | null = null;

  /** A new engine starts. */
  reset(): void {
    this.last = null;
    this.since = null;
    this.nudged = 0;
    this.isComplete = false;
    this.jumped = null;
  }

  /** The picture was stuck although there was more of it, and has jumped there; whether to make everything anew. */
  jump(now: number): boolean {
    const again = this.jumped !== null && now - this.jumped < CONFUSED;
    this.jumped = now;
    return again;
  }

  /** Nothing more will come: the picture may stop. */
  complete(): void {
    this.isComplete = true;
  }

  /** Looks at the picture. */
  look(video: { currentTime: number; paused: boolean; duration: number }, now: number): Look {
    const moved = this.last !== null && video.currentTime !== this.last;
    this.last = video.currentTime;
    if (moved || video.paused || this.since === null) {
      this.since = now;
      this.nudged = 0;
      return moved ? 'moving' : 'still';
    }
    const stopped = now - this.since;
    const farFromItsEnd = video.duration - video.currentTime > NEAR;
    if (this.isComplete && !farFromItsEnd) return stopped >= OVER ? 'over' : 'still';
    if (stopped >= DEAD) return 'dead';
    if (stopped < STUCK * (this.nudged + 1)) return 'still';
    this.nudged += 1;
    return 'stuck';
  }
}
