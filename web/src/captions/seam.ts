const bare = (word: string): string => word.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '');

/** What a caption says before `next` begins, which it reaches into; null where they have no words in common there. */
export function before(caption: string, next: string): string | null {
  const words = caption.split(/\s+/);
  const follow = next.split(/\s+/).map(bare);
  const from = words.findIndex((_, at) => words.slice(at).every((word, nth) => nth >= follow.length || bare(word) === follow[nth]));
  return from < 0 ? null : words.slice(0, from).join(' ');
}
