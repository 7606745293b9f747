/** The caption language that is off. */
export const OFF = 'off';

/**
 * The caption language to start with: the viewer's last choice if this lecture has it, else the
 * first of the browser's languages that it has, else the spoken one (the first).
 */
export function preferred(languages: readonly string[], remembered: string | null, browser: readonly string[]): string {
  if (remembered === OFF || languages.length === 0) return OFF;
  const wanted = remembered === null ? browser : [remembered, ...browser];
  for (const tag of wanted) {
    const found = languages.find((have) => have === tag) ?? languages.find((have) => primary(have) === primary(tag));
    if (found !== undefined) return found;
  }
  return languages[0] ?? OFF;
}

function primary(tag: string): string {
  return tag.toLowerCase().split('-')[0] ?? '';
}
