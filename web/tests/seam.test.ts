import { expect, test } from 'vitest';

import { before } from '../src/captions/seam';

test('a caption that reaches into the next phrase is told up to it', () => {
  expect(before('The frequency is the number of crests that pass in one second.', 'of crests that pass in one second.')).toBe('The frequency is the number');
  expect(before('The water goes up and down, but it does not travel to the shore.', 'but it does not travel')).toBe('The water goes up and down,');
  expect(before('Down to the shore.', 'Only the shape')).toBeNull();
  expect(before('Only the shape of it.', 'Only the shape of it.')).toBe('');
});
