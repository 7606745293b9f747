import { describe, expect, it } from 'vitest';

import { place } from '../src/player/rewind';

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
});
