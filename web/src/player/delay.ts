import { t } from '../i18n';
import { load, save } from '../settings';
import { Menu } from './menu';
import { whepSupported } from './whep-engine';

/** How far behind the lecturer a viewer wants to be. */
export type Delay =
  /** Seconds, by HLS: what survives any network, in several qualities. */
  | 'relaxed'
  /** A fraction of a second; words come when they come. */
  | 'direct'
  /** As far behind as the words are. */
  | 'step';

const DELAYS: Delay[] = ['relaxed', 'direct', 'step'];

/** The viewer's choice among what this browser can do, remembered. */
export class DelayChoice {
  /** For the control bar. */
  readonly menu: Menu;
  private chosen_: Delay;
  private possible: Delay[];

  constructor(host: HTMLElement, changed: () => void) {
    const { direct, step } = whepSupported();
    this.possible = DELAYS.filter((delay) => delay === 'relaxed' || (delay === 'direct' ? direct : step));
    this.chosen_ = this.possible.find((delay) => delay === load('delay')) ?? 'relaxed';
    this.menu = new Menu('speed', t('controls.delay'), host, () => [{
      label: t('controls.delay'),
      items: this.possible.map((value) => ({ value, label: t(`delay.${value}`) })),
      value: this.chosen_,
      choose: (value) => {
        this.chosen_ = value as Delay;
        save('delay', value);
        changed();
      },
    }]);
    this.menu.active = this.chosen_ !== 'relaxed';
  }

  get chosen(): Delay {
    return this.chosen_;
  }

  /** The network is too weak for the other ones now; they may be chosen again. The choice stays for the next time. */
  relax(): void {
    this.chosen_ = 'relaxed';
    this.refresh();
  }

  /** This server or network has no other. The viewer's choice stays for the next time. */
  giveUp(): void {
    this.possible = ['relaxed'];
    this.chosen_ = 'relaxed';
    this.refresh();
  }

  refresh(): void {
    this.menu.active = this.chosen_ !== 'relaxed';
    this.menu.refresh();
  }
}
