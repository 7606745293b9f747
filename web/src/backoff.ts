/** Waits that double up to a limit, each shortened by chance so that viewers do not return all at once. */
export class Backoff {
  private wait: number;

  /** Both in milliseconds. */
  constructor(
    private readonly first: number,
    private readonly most: number,
    private readonly random: () => number = Math.random,
  ) {
    this.wait = first;
  }

  /** Milliseconds to wait now. */
  next(): number {
    const wait = this.wait;
    this.wait = Math.min(this.wait * 2, this.most);
    return wait * (0.5 + this.random() / 2);
  }

  /** Begins anew after a success. */
  reset(): void {
    this.wait = this.first;
  }
}
