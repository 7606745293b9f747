/** Cues that may still change and are watched for; older ones are given up. */
const OPEN = 50;

/** Where a track is to go on after its connection was lost: after the last cue before which all are final. */
export class Resume {
  private last: number | null = null;
  private readonly open = new Set<number>();

  /** The id to go on after; null to begin with what the server has. */
  get since(): number | null {
    if (this.last === null) return null;
    // A cue that was still growing is asked for again, or its end would be missing.
    const since = Math.min(this.last, ...[...this.open].map((id) => id - 1));
    return since < 0 ? null : since;
  }

  /** A cue or its revision came. */
  took(cue: { id: number; final: boolean }): void {
    this.last = Math.max(this.last ?? cue.id, cue.id);
    if (cue.final) this.open.delete(cue.id);
    else this.open.add(cue.id);
    const [oldest] = this.open;
    if (this.open.size > OPEN && oldest !== undefined) this.open.delete(oldest);
  }

  /** Another live begins. */
  forget(): void {
    this.last = null;
    this.open.clear();
  }
}
