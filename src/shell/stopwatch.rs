//! How long a command takes. The system's clock takes as long to be read as a tenth of a GET, so the processor's own counter is
//! used where there is one, measured against the clock now and then. For the same reason commands that come one right after
//! another share one look at the clock.

use crate::core::time::UnixMs;
use std::time::{Duration, Instant, SystemTime};

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(counter::Moment);

impl Stopwatch {
    /// Now.
    pub fn start() -> Self {
        Self(counter::now())
    }

    /// How long ago that was.
    pub fn elapsed(self) -> Duration {
        counter::since(self.0)
    }

    /// The time of day at its start: as the clock told it at most a quarter of a millisecond before, and the counter since.
    pub fn started_at(self) -> UnixMs {
        UnixMs(counter::clock(self.0) / 1000)
    }
}

/// Looks at the clock, and shares that with the commands that come right after.
pub fn look(shared: bool) -> UnixMs {
    let told = read_clock();
    if shared {
        counter::share(told);
    }
    UnixMs(told / 1000)
}

/// The time of day in microseconds.
fn read_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}

/// Compares the counter with the clock: when the module loads, and at each tick of the timer.
pub fn calibrate() {
    counter::calibrate();
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use super::{read_clock, Duration, Instant};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::OnceLock;

    pub type Moment = u64;

    /// When the module was loaded, by the counter and by the clock.
    static LOADED: OnceLock<(Moment, Instant)> = OnceLock::new();

    /// How many nanoseconds 2³² counts last; 0 as long as nobody knows.
    static RATE: AtomicU64 = AtomicU64::new(0);

    /// For how long the first comparison goes on.
    const FIRST: Duration = Duration::from_millis(1);

    /// When the clock was last looked at, and what it told.
    static LOOKED: AtomicU64 = AtomicU64::new(0);
    static TOLD: AtomicU64 = AtomicU64::new(0);

    /// For how long that is good.
    const GOOD: Duration = Duration::from_micros(250);

    pub fn now() -> Moment {
        // SAFETY: every x86-64 processor has this instruction, and it only reads.
        unsafe { std::arch::x86_64::_rdtsc() }
    }

    pub fn since(moment: Moment) -> Duration {
        // A counter that was set back, or one of another processor, shows nothing.
        between(moment, now())
    }

    fn between(one: Moment, other: Moment) -> Duration {
        let counts = other.saturating_sub(one);
        let nanos = (u128::from(counts) * u128::from(RATE.load(Ordering::Relaxed))) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub fn clock(moment: Moment) -> u64 {
        let looked = LOOKED.load(Ordering::Relaxed);
        let since = between(looked, moment);
        if moment >= looked && RATE.load(Ordering::Relaxed) > 0 && since <= GOOD {
            return TOLD.load(Ordering::Relaxed) + u64::from(since.subsec_micros());
        }
        let told = read_clock();
        LOOKED.store(moment, Ordering::Relaxed);
        TOLD.store(told, Ordering::Relaxed);
        told
    }

    pub fn share(told: u64) {
        LOOKED.store(now(), Ordering::Relaxed);
        TOLD.store(told, Ordering::Relaxed);
    }

    pub fn calibrate() {
        let (counter, clock) = *LOADED.get_or_init(|| (now(), Instant::now()));
        while clock.elapsed() < FIRST {
            std::hint::spin_loop();
        }
        let (counts, nanos) = (now().saturating_sub(counter), clock.elapsed().as_nanos());
        let rate = (nanos << 32).checked_div(u128::from(counts)).unwrap_or(0);
        RATE.store(u64::try_from(rate).unwrap_or(0), Ordering::Relaxed);
        // Whatever the counter does, no look at the clock is good for longer than until now.
        LOOKED.store(Moment::MAX, Ordering::Relaxed);
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod counter {
    use super::{read_clock, Duration, Instant};

    pub type Moment = Instant;

    pub fn now() -> Moment {
        Instant::now()
    }

    pub fn since(moment: Moment) -> Duration {
        moment.elapsed()
    }

    pub fn clock(_: Moment) -> u64 {
        read_clock()
    }

    pub fn share(_: u64) {}

    pub fn calibrate() {}
}
