//! Time as the cache sees it: an argument, in milliseconds since the Unix epoch.

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMs(pub u64);

/// The last millisecond of the year 9999: no expiry lies beyond it.
const END_OF_TIME: u64 = 253_402_300_799_999;

impl UnixMs {
    /// Later than any time there is: the expiry of what never expires.
    pub const NEVER: Self = Self(u64::MAX);

    /// The last moment that an expiry may name.
    pub const LATEST: Self = Self(END_OF_TIME);

    /// This moment and `ms` more, at the latest the end of the year 9999; never stays never.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        match self {
            Self::NEVER => Self::NEVER,
            Self(at) => Self(at.saturating_add(ms).min(END_OF_TIME).max(at)),
        }
    }

    /// Milliseconds from `earlier` to this moment; none if it is not later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether there is such a moment at all.
    pub fn is_never(self) -> bool {
        self == Self::NEVER
    }
}

/// Milliseconds as seconds, rounded like the server's TTL.
pub fn rounded_seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_stays_never_and_the_end_stays_the_end() {
        assert_eq!(UnixMs(5).plus(3), UnixMs(8));
        assert_eq!(UnixMs(5).plus(u64::MAX), UnixMs::LATEST);
        assert_eq!(UnixMs::LATEST.plus(1), UnixMs::LATEST);
        assert_eq!(UnixMs::NEVER.plus(1), UnixMs::NEVER);
        assert!(UnixMs::NEVER.is_never() && !UnixMs::LATEST.is_never() && UnixMs::LATEST < UnixMs::NEVER);
    }

    #[test]
    fn nothing_is_older_than_new() {
        assert_eq!((UnixMs(9).since(UnixMs(4)), UnixMs(4).since(UnixMs(9))), (5, 0));
    }

    #[test]
    fn seconds_round_like_the_servers() {
        let cases = [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (u64::MAX, u64::MAX / 1000)];
        cases.into_iter().for_each(|(ms, seconds)| assert_eq!(rounded_seconds(ms), seconds, "{ms}"));
    }
}
