/** Cues that may change at once. */
const CUES = 64;

/** How far each of a track's newest cues has come. */
export class Growth {
  private readonly reached = new Map<number, number>();

  /** The cue `id` is now so far: how far it was before, or null if it has not grown. */
  to(id: number, length: number): number | null {
    const before = this.reached.get(id) ?? 0;
    if (length <= before) return null;
    this.reached.set(id, length);
    const [oldest] = this.reached.keys();
    if (this.reached.size > CUES && oldest !== undefined) this.reached.delete(oldest);
    return before;
  }

  clear(): void {
    this.reached.clear();
  }
}
