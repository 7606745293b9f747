import { nameOfLanguage, t } from '../i18n';
import { Menu, type MenuGroup } from '../player/menu';
import { load, save } from '../settings';
import { OFF, preferred } from './choice';
import { Overlay } from './overlay';
import type { Shown } from './timeline';

const SIZES = ['s', 'm', 'l'] as const;
const CONTRASTS = ['soft', 'solid', 'yellow'] as const;

/** The viewer's caption choices: language, size, background; the menu, and the overlay that shows them. */
export class CaptionDesk {
  /** The button and its menu, for the control bar. */
  readonly menu: Menu;
  private readonly overlay = new Overlay();
  private languages_: string[] = [];
  /** A caption language or `off`. */
  private chosen_ = OFF;
  /** What `c` switches back to. */
  private last = load('captionsLast');
  private size: string = SIZES.find((size) => size === load('size')) ?? 'm';
  private contrast: string = CONTRASTS.find((contrast) => contrast === load('contrast')) ?? 'soft';

  /** `changed` hears of another transcript language, and whether the lecture's languages made it so and not the viewer. */
  constructor(
    host: HTMLElement,
    private readonly changed: (language: string | null, moved: boolean) => void,
  ) {
    host.append(this.overlay.element);
    this.menu = new Menu('captions', t('controls.captions'), host, () => this.groups());
    this.overlay.style(this.size, this.contrast);
  }

  /** The languages there are, the spoken one first. */
  get languages(): readonly string[] {
    return this.languages_;
  }

  set languages(languages: readonly string[]) {
    if (JSON.stringify(languages) === JSON.stringify(this.languages_)) return;
    const moved = this.languages_.length > 0;
    this.languages_ = [...languages];
    // While the viewer reads, his own choice comes first, then what he reads; off stays off.
    if (!moved) this.chosen_ = preferred(languages, load('captions'), navigator.languages);
    else if (this.chosen_ !== OFF) this.chosen_ = preferred(languages, load('captions'), [this.chosen_, ...navigator.languages]);
    this.refresh(moved);
  }

  /** The language shown over the picture, or `off`. */
  get chosen(): string {
    return this.chosen_;
  }

  /** The language of the transcript, which stays when the captions are off; null if there is none. */
  get language(): string | null {
    if (this.chosen_ !== OFF) return this.chosen_;
    const last = preferred(this.languages_, this.last, navigator.languages);
    return last === OFF ? null : last;
  }

  /** Another language, remembered. */
  choose(language: string): void {
    if (language !== OFF) {
      this.last = language;
      save('captionsLast', language);
    } else if (this.chosen_ !== OFF) {
      this.last = this.chosen_;
      save('captionsLast', this.chosen_);
    }
    this.chosen_ = language;
    save('captions', language);
    this.refresh();
  }

  /** On or off. */
  toggle(): void {
    this.choose(this.chosen_ === OFF ? (this.language ?? OFF) : OFF);
  }

  /** Shows cues while captions are on. */
  draw(shown: Shown | null): void {
    this.overlay.draw(this.chosen_ === OFF ? null : shown);
  }

  private refresh(moved = false): void {
    this.menu.active = this.chosen_ !== OFF;
    this.menu.refresh();
    this.changed(this.language, moved);
  }

  private groups(): MenuGroup[] {
    if (this.languages_.length === 0) return [];
    const style = (): void => {
      this.overlay.style(this.size, this.contrast);
    };
    return [
      {
        label: t('controls.captions.language'),
        items: [
          { value: OFF, label: t('controls.captions.off') },
          ...this.languages_.map((tag) => ({ value: tag, label: nameOfLanguage(tag), lang: tag })),
        ],
        value: this.chosen_,
        choose: (value) => { this.choose(value); },
      },
      {
        label: t('controls.captions.size'),
        items: SIZES.map((size) => ({ value: size, label: t(`size.${size}`) })),
        value: this.size,
        choose: (value) => {
          this.size = value;
          save('size', value);
          style();
        },
      },
      {
        label: t('controls.captions.contrast'),
        items: CONTRASTS.map((contrast) => ({ value: contrast, label: t(`contrast.${contrast}`) })),
        value: this.contrast,
        choose: (value) => {
          this.contrast = value;
          save('contrast', value);
          style();
        },
      },
    ];
  }
}
