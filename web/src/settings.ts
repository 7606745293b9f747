/** What the viewer chose, kept in this browser. */
export interface Settings {
  /** Language of the page. */
  language: string;
  /** Language of the captions, or `off`. */
  captions: string;
  /** The last caption language that was on. */
  captionsLast: string;
  /** Text size of the captions: `s`, `m` or `l`. */
  size: string;
  /** What stands behind the captions. */
  contrast: string;
  /** Picture height in lines, or `auto`. */
  quality: string;
  /** Name of the sound. */
  sound: string;
  /** How far behind a live: `relaxed`, `direct` or `step`. */
  delay: string;
  /** 0 to 1. */
  volume: string;
  /** `yes` if screen readers read the transcript. */
  announce: string;
  /** `no` if letters and signs are no shortcuts. */
  letters: string;
}

const PREFIX = 'amphi.';

/** A remembered choice, or null. Private windows may keep none. */
export function load(name: keyof Settings): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** Remembers a choice where the browser lets us. */
export function save(name: keyof Settings, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // Storage is blocked or full: the choice holds for this page only.
  }
}
