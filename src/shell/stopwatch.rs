//! How long a command takes. The system's clock takes as long to be read as a tenth of a GET, so the processor's own counter is
//! used where there is one, measured against the clock now and then.

use std::time::{Duration, Instant};

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
}

/// Compares the counter with the clock: when the module loads, and at each tick of the timer.
pub fn calibrate() {
    counter::calibrate();
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use super::{Duration, Instant};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::OnceLock;

    pub type Moment = u64;

    /// When the module was loaded, by the counter and by the clock.
    static LOADED: OnceLock<(Moment, Instant)> = OnceLock::new();

    /// How many nanoseconds 2³² counts last; 0 as long as nobody knows.
    static RATE: AtomicU64 = AtomicU64::new(0);

    /// For how long the first comparison goes on.
    const FIRST: Duration = Duration::from_millis(1);

    pub fn now() -> Moment {
        // SAFETY: every x86-64 processor has this instruction, and it only reads.
        unsafe { std::arch::x86_64::_rdtsc() }
    }

    pub fn since(moment: Moment) -> Duration {
        // A counter that was set back, or one of another processor, shows nothing.
        let counts = now().saturating_sub(moment);
        let nanos = (u128::from(counts) * u128::from(RATE.load(Ordering::Relaxed))) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub fn calibrate() {
        let (counter, clock) = *LOADED.get_or_init(|| (now(), Instant::now()));
        while clock.elapsed() < FIRST {
            std::hint::spin_loop();
        }
        let (counts, nanos) = (now().saturating_sub(counter), clock.elapsed().as_nanos());
        let rate = (nanos << 32).checked_div(u128::from(counts)).unwrap_or(0);
        RATE.store(u64::try_from(rate).unwrap_or(0), Ordering::Relaxed);
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod counter {
    use super::{Duration, Instant};

    pub type Moment = Instant;

    pub fn now() -> Moment {
        Instant::now()
    }

    pub fn since(moment: Moment) -> Duration {
        moment.elapsed()
    }

    pub fn calibrate() {}
}
