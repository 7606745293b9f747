use std::time::{Duration, Instant};

/// Whether a viewer's path carries the pictures, by what its reports say of them (RFC 3550 §6.4.1). Pure.
///
/// A path that is too narrow loses what it is sent, and more the more is sent again; to go on would cost the sound
/// too. So pictures rest for a while, longer each time they fail again, and sound goes on: a lecture can be followed
/// by it and by its captions. A burst of loss or a bad radio minute is what retransmission is for.
#[derive(Debug, Default)]
pub struct Link {
    /// Since when every report has been bad.
    bad: Option<Instant>,
    /// How often in a row pictures had to rest.
    rests: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Fresh,
    /// Pictures rest until then.
    Resting(Instant),
    /// They are tried again since then.
    Trying(Instant),
}

impl Link {
    /// Share of lost packets that retransmission no longer makes good in time: each is lost again as likely.
    pub const LOSSY: f64 = 0.15;
    /// So long every report has to say so.
    pub const LONG: Duration = Duration::from_secs(3);
    /// The first rest. Each one is twice as long, up to the longest.
    pub const REST: Duration = Duration::from_secs(4);
    /// The longest rest.
    pub const LONGEST: Duration = Duration::from_secs(32);
    /// Pictures that were carried for so long are carried: what was before is forgotten.
    pub const WELL: Duration = Duration::from_secs(15);

    /// A report on the pictures: the share lost since the one before, 0–1. True: they rest from now on.
    pub fn report(&mut self, loss: f64, now: Instant) -> bool {
        if loss < Self::LOSSY || self.rests() {
            self.bad = None;
            return false;
        }
        let since = *self.bad.get_or_insert(now);
        if now.saturating_duration_since(since) < Self::LONG {
            return false;
        }
        if !matches!(self.state, State::Trying(tried) if now.saturating_duration_since(tried) < Self::WELL) {
            self.rests = 0;
        }
        let rest = Self::LONGEST.min(Self::REST * 2_u32.saturating_pow(self.rests));
        self.rests = self.rests.saturating_add(1);
        (self.state, self.bad) = (State::Resting(now + rest), None);
        true
    }

    /// Pictures rest.
    pub fn rests(&self) -> bool {
        matches!(self.state, State::Resting(_))
    }

    /// When the rest is over, if they rest.
    pub fn until(&self) -> Option<Instant> {
        match self.state {
            State::Resting(until) => Some(until),
            State::Fresh | State::Trying(_) => None,
        }
    }

    /// Pictures are tried again.
    pub fn resume(&mut self, now: Instant) {
        self.state = State::Trying(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports once a second; `x` where pictures began to rest behind one, `.` where not.
    fn reports(link: &mut Link, start: Instant, losses: &[f64]) -> String {
        let at = |second| start + Duration::from_secs(second as u64);
        losses.iter().enumerate().map(|(second, loss)| if link.report(*loss, at(second)) { 'x' } else { '.' }).collect()
    }

    #[test]
    fn pictures_rest_when_a_path_loses_for_long_and_not_for_a_burst() {
        let start = Instant::now();
        assert_eq!(reports(&mut Link::default(), start, &[0.5, 0.6, 0.4, 0.1, 0.5, 0.5, 0.5, 0.05]), "........");
        assert_eq!(reports(&mut Link::default(), start, &[0.14; 60]), ".".repeat(60));
        let mut link = Link::default();
        assert_eq!(reports(&mut link, start, &[0.2, 0.3, 0.2, 0.2, 0.9, 0.9]), "...x..");
        assert!(link.rests());
        assert_eq!(link.until(), Some(start + Duration::from_secs(3) + Link::REST));
    }

    #[test]
    fn rests_grow_while_it_fails_again_and_begin_anew_when_it_went_well() {
        let (mut link, mut now) = (Link::default(), Instant::now());
        let fail = |link: &mut Link, now: &mut Instant| {
            let begun = *now;
            while !link.report(0.5, *now) {
                *now += Duration::from_secs(1);
            }
            assert_eq!(now.duration_since(begun), Link::LONG);
            let rest = link.until().unwrap() - *now;
            *now = link.until().unwrap();
            link.resume(*now);
            rest.as_secs()
        };
        let rests: Vec<_> = (0..5).map(|_| fail(&mut link, &mut now)).collect();
        assert_eq!(rests, [4, 8, 16, 32, 32]);
        now += Link::WELL;
        assert_eq!(fail(&mut link, &mut now), 4);
    }
}
