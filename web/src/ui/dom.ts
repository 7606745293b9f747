type Child = Node | string | null | undefined;
type Attributes = Record<string, string | boolean | number | null | undefined>;

/** An element with attributes (`false`, null and undefined leave one out) and children; text stays text. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with that id, which the page's HTML holds. */
export function byId(id: string): HTMLElement {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`the page has no element #${id}`);
  return node;
}

/** A drawing from the page's own set, hidden from screen readers. */
export function icon(name: IconName): SVGElement {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** The page's drawings: 24 × 24, one stroked path each. */
const ICONS = {
  captions: 'M4 5h16a1.5 1.5 0 0 1 1.5 1.5v11A1.5 1.5 0 0 1 20 19H4a1.5 1.5 0 0 1-1.5-1.5v-11A1.5 1.5 0 0 1 4 5zM10.5 10.4a2.2 2.2 0 1 0 0 3.2M17.5 10.4a2.2 2.2 0 1 0 0 3.2',
  quality: 'M4 7h9M17 7h3M15 5v4M4 12h3M11 12h9M9 10v4M4 17h9M17 17h3M15 15v4',
  headphones: 'M4 15v-3a8 8 0 0 1 16 0v3M4 14.5h3V20H5.5A1.5 1.5 0 0 1 4 18.5zM20 14.5h-3V20h1.5a1.5 1.5 0 0 0 1.5-1.5z',
  speed: 'M4.5 18a9 9 0 1 1 15 0M12 14l4-5',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  help: 'M9 9.2a3 3 0 1 1 4.4 2.6c-.9.5-1.4 1-1.4 2M12 17.2v.2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z',
  down: 'M12 5v14M6 13l6 6 6-6',
  sound: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9l5 6M21 9l-5 6',
  live: 'M12 13.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM8 16a5.6 5.6 0 0 1 0-8M16 8a5.6 5.6 0 0 1 0 8M5.2 18.8a9.6 9.6 0 0 1 0-13.6M18.8 5.2a9.6 9.6 0 0 1 0 13.6',
  play: 'M8 5.5v13l11-6.5z',
  viewers: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20a7.5 7.5 0 0 1 15 0',
} as const;

/** A drawing's name. */
export type IconName = keyof typeof ICONS;
