/** What has come by a direct connection since it began. */
export interface Arrived {
  /** Pictures decoded. */
  pictures: number;
  /** Packets of pictures that came, and that did not. */
  received: number;
  lost: number;
  /** Packets of sound that came. */
  sound: number;
}

/** Looks of which most decide; a look a second. */
const LOOKS = 10;
/** So many bad ones among them are too many. */
const BAD = 6;
/** Share of packets lost from which a look is bad. */
const LOSSY = 0.1;

/** Whether a direct connection carries the picture. Pure. */
export class Carriage {
  private before: Arrived | null = null;
  private bad: boolean[] = [];

  /**
   * Takes the figures of now; whether the path is too narrow or too bad for the picture. Where nothing comes at all the
   * publisher is away, or the connection is gone, which shows elsewhere.
   */
  fails(now: Arrived): boolean {
    const { before } = this;
    this.before = now;
    if (before === null || before.pictures === 0) return false;
    const received = now.received - before.received;
    const lost = Math.max(0, now.lost - before.lost);
    if (received === 0 && now.sound === before.sound) return false;
    this.bad.push(now.pictures === before.pictures || lost > LOSSY * (received + lost));
    this.bad = this.bad.slice(-LOOKS);
    return this.bad.filter((bad) => bad).length >= BAD;
  }
}
