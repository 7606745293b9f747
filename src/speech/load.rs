//! What is left out of a live's captions when recognition cannot keep up. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What is left out so that words keep up with the speaker. Each level includes those before it;
/// the picture is not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Load(u8);

impl Load {
    /// Nothing is left out.
    pub const NORMAL: Self = Self(0);
    /// The most there is to leave out.
    pub const MOST: Self = Self(5);

    /// Nothing above [`Load::MOST`] is a level.
    pub fn from_level(level: u8) -> Option<Self> {
        (level <= Self::MOST.0).then_some(Self(level))
    }

    /// 0 to 5.
    pub fn level(self) -> u8 {
        self.0
    }

    /// Words that may still change are not shown.
    pub fn sheds_partials(self) -> bool {
        self.0 >= 1
    }

    /// Sentences are translated when they are complete, not while they are spoken.
    pub fn sheds_translation(self) -> bool {
        self.0 >= 2
    }

    /// How many times as much sound as usual is awaited before it is recognised: 1, 2, 4 or 8.
    pub fn stretch(self) -> usize {
        1 << self.0.saturating_sub(2)
    }

    /// The last thing left out, as status writes it.
    pub fn as_str(self) -> &'static str {
        match self.0 {
            0 => "normal",
            1 => "partials",
            2 => "translation",
            _ => "refresh",
        }
    }
}

/// How recognition of a live keeps up with its sound.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// What is left out.
    pub load: Load,
    /// Seconds that a second of sound took over the last two minutes, those spent waiting for other
    /// streams of the same model included: with 1 and more, recognition falls behind. None until known.
    pub real_time_factor: Option<f64>,
}

/// Watches how far recognition is behind, and decides what is left out.
///
/// An engine that keeps up has soon recognised all there is. One that does not never does: that,
/// and not how much waits at its worst, tells them apart.
#[derive(Debug)]
pub struct Watch {
    load: Load,
    /// When the load last changed, and whether it then fell.
    changed: Instant,
    fell: bool,
    /// When recognition last had nothing of [`LATE`] before it.
    fine: Instant,
    /// What waited at least since the engine started anew, until it has caught up.
    catching_up: Option<Duration>,
    /// When it last had too much before it for too long.
    late: Instant,
    /// How long it must be fine before less is left out.
    patience: Duration,
}

/// Sound that waits so long is late …
const LATE: Duration = Duration::from_secs(1);
/// … and if that lasts, more is left out; at once at the first sign there would be no telling an
/// overload from a hiccup.
const HOLD: Duration = Duration::from_secs(3);
/// What is left out comes back after so long, and after twice as long each time that was too soon …
const CALM: Duration = Duration::from_secs(15);
/// … up to this.
const LONGEST_CALM: Duration = Duration::from_secs(240);

impl Watch {
    /// Begins with nothing left out.
    pub fn new(now: Instant) -> Self {
        Self { load: Load::NORMAL, changed: now, fell: false, fine: now, late: now, catching_up: None, patience: CALM }
    }

    /// What is to be left out from `now` on, when so much sound waits. Call it about twice a second.
    pub fn look(&mut self, behind: Duration, now: Instant) -> Load {
        if behind < LATE {
            (self.fine, self.catching_up) = (now, None);
        } else if self.catching_up.is_some_and(|least| behind < least) {
            (self.fine, self.catching_up) = (now, Some(behind));
        }
        let late = now.duration_since(self.fine);
        if late >= HOLD / 2 {
            self.late = now;
        }
        let since = now.duration_since(self.changed);
        if late >= HOLD && since >= HOLD && self.load < Load::MOST {
            if std::mem::take(&mut self.fell) {
                let too_soon = since < 2 * self.patience;
                self.patience = if too_soon { (2 * self.patience).min(LONGEST_CALM) } else { CALM };
            }
            self.change(self.load.0 + 1, now);
        } else if self.load > Load::NORMAL && since.min(now.duration_since(self.late)) >= self.patience {
            self.fell = true;
            self.change(self.load.0 - 1, now);
        }
        self.load
    }

    /// The engine starts anew: what is late now is not its load, as long as it gets less.
    pub fn restart(&mut self, now: Instant) {
        (self.fine, self.catching_up) = (now, Some(Duration::MAX));
    }

    fn change(&mut self, level: u8, now: Instant) {
        self.load = Load(level);
        self.changed = now;
    }
}

/// Work and sound of the last two minutes.
#[derive(Debug, Default)]
pub struct Factor(VecDeque<Slot>);

#[derive(Debug)]
struct Slot {
    begun: Instant,
    spent: Duration,
    sound: Duration,
}

/// How long anything counts …
const WINDOW: Duration = Duration::from_secs(120);
/// … and how finely.
const SLOT: Duration = Duration::from_secs(10);
/// With less sound there is nothing to say.
const LEAST: Duration = Duration::from_secs(5);

impl Factor {
    /// So much sound took so long.
    pub fn add(&mut self, spent: Duration, sound: Duration, now: Instant) {
        if self.0.back().is_none_or(|slot| now.duration_since(slot.begun) >= SLOT) {
            self.0.push_back(Slot { begun: now, spent: Duration::ZERO, sound: Duration::ZERO });
        }
        if let Some(slot) = self.0.back_mut() {
            slot.spent += spent;
            slot.sound += sound;
        }
        while self.0.front().is_some_and(|slot| now.duration_since(slot.begun) > WINDOW) {
            self.0.pop_front();
        }
    }

    /// See [`Pace::real_time_factor`]; in hundredths.
    pub fn value(&self) -> Option<f64> {
        let sound: Duration = self.0.iter().map(|slot| slot.sound).sum();
        let spent: Duration = self.0.iter().map(|slot| slot.spent).sum();
        (sound >= LEAST).then(|| (spent.as_secs_f64() / sound.as_secs_f64() * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch, and a clock that is moved by hand.
    struct Scene {
        watch: Watch,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let now = Instant::now();
            Self { watch: Watch::new(now), now }
        }

        /// The levels that `seconds` go through while so much waits, looked at twice a second.
        fn run(&mut self, seconds: u64, behind: impl Fn(u64) -> u64) -> Vec<u8> {
            let mut levels = vec![self.watch.load.level()];
            for nth in 0..seconds * 2 {
                self.now += Duration::from_millis(500);
                let level = self.watch.look(Duration::from_millis(behind(nth)), self.now).level();
                if levels.last() != Some(&level) {
                    levels.push(level);
                }
            }
            levels
        }
    }

    #[test]
    fn an_engine_that_always_catches_up_is_not_overloaded() {
        let mut scene = Scene::new();
        assert_eq!(scene.run(600, |_| 300), [0]);
        assert_eq!(scene.run(600, |nth| if nth % 5 == 0 { 100 } else { 5_000 }), [0], "long decodings");
    }

    #[test]
    fn what_lasts_sheds_more_and_more_in_order_and_comes_back_in_the_other() {
        let mut scene = Scene::new();
        assert_eq!(scene.run(2, |_| 2_000), [0], "a hiccup");
        assert_eq!(scene.run(20, |_| 2_000), [0, 1, 2, 3, 4, 5]);
        assert_eq!(scene.run(14, |_| 200), [5], "it may not last");
        assert_eq!(scene.run(80, |_| 200), [5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_load_that_returns_whenever_less_is_left_out_is_tried_ever_more_rarely() {
        let mut scene = Scene::new();
        let mut changes = Vec::new();
        // Keeps up with partials left out, and not otherwise.
        for _ in 0..6 {
            for _ in 0..600 {
                scene.now += Duration::from_millis(500);
                let before = scene.watch.load;
                let behind = if before.sheds_partials() { 100 } else { 3_000 };
                if scene.watch.look(Duration::from_millis(behind), scene.now) != before {
                    changes.push(scene.now);
                }
            }
        }
        assert!(changes.len() < 40, "{} changes in half an hour", changes.len());
        let gaps: Vec<u64> = changes.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
        assert_eq!(gaps.iter().max(), Some(&240), "{gaps:?}");
        assert_eq!(scene.run(1_200, |_| 100).last(), Some(&0));
        scene.run(4, |_| 3_000);
        assert_eq!(scene.run(20, |_| 100), [1, 0], "long ago counts no more");
    }

    #[test]
    fn a_restart_is_no_overload() {
        let mut scene = Scene::new();
        for _ in 0..10 {
            scene.watch.restart(scene.now);
            assert_eq!(scene.run(2, |_| 8_000), [0]);
        }
        scene.watch.restart(scene.now);
        assert_eq!(scene.run(12, |look| 8_000 - 250 * look), [0], "it works off what waited");
        assert_eq!(scene.run(4, |_| 2_000), [0, 1], "and then it does not");
    }

    #[test]
    fn levels_leave_out_what_their_names_say() {
        let shown = |level| {
            let load = Load::from_level(level)?;
            Some((load.as_str(), load.sheds_partials(), load.sheds_translation(), load.stretch()))
        };
        assert_eq!(shown(0), Some(("normal", false, false, 1)));
        assert_eq!(shown(1), Some(("partials", true, false, 1)));
        assert_eq!(shown(2), Some(("translation", true, true, 1)));
        assert_eq!(shown(3), Some(("refresh", true, true, 2)));
        assert_eq!(shown(5), Some(("refresh", true, true, 8)));
        assert_eq!(shown(6), None);
    }

    #[test]
    fn the_real_time_factor_is_of_the_last_two_minutes() {
        let (mut factor, mut now) = (Factor::default(), Instant::now());
        factor.add(Duration::from_secs(1), Duration::from_secs(4), now);
        assert_eq!(factor.value(), None, "too little");
        for (seconds, spent) in [(300, 900), (130, 250)] {
            for _ in 0..seconds {
                now += Duration::from_secs(1);
                factor.add(Duration::from_millis(spent), Duration::from_secs(1), now);
            }
        }
        assert!((factor.value().unwrap() - 0.25).abs() < 1e-9);
        assert!(factor.0.len() <= 13);
    }
}
