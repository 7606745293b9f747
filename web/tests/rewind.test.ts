import { describe, expect, it } from 'vitest';

import { place, Whereabouts } from '../src/player/rewind';

describe('going back in a live', () => {
  it('leads as far as there is something, and not to its very end', () => {
    expect(place(60, 600)).toBe(60);
    expect(place(7200, 600)).toBe(588);
  });

  it('leads to the edge from near it, and where there is nothing yet', () => {
    expect(place(0, 600)).toBeNull();
    expect(place(-10, 600)).toBeNull();
    expect(place(7, 600)).toBeNull();
    expect(place(10, 15)).toBeNull();
  });

  it('adds up steps that follow each other before the picture is there', () => {
    const where = new Whereabouts();
    expect([where.distance(1.2, 0), where.go(60, 0)]).toEqual([null, false]);
    where.reach = 600;
    for (let step = 1; step <= 6; step += 1) expect(where.go((where.distance(0, step) ?? 1) + 10, step)).toBe(true);
    expect(where.behind).toBe(61);
    // Once it is there, the picture says where it is.
    expect(where.distance(64, 10_000)).toBe(64);
    expect(where.distance(null, 10_000)).toBe(61);
  });
});
