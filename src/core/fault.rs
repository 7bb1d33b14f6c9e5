//! Places where a build for tests can be made to panic: a defect may be anywhere, and whatever it leaves half done must not
//! take the server down or answer anybody wrongly (see [`super::mending`]). In any other build there is nothing here.

#[cfg(feature = "panics")]
mod armed {
    use std::sync::atomic::{AtomicI64, Ordering};

    /// How many places will be passed until one panics, that one included; 0 for none.
    pub static LEFT: AtomicI64 = AtomicI64::new(0);

    /// A place.
    #[allow(clippy::panic)] // its purpose
    pub fn point() {
        if LEFT.load(Ordering::Relaxed) > 0 && LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
            panic!("on purpose");
        }
    }
}

#[cfg(feature = "panics")]
pub use armed::{point, LEFT};

/// A place.
#[cfg(not(feature = "panics"))]
#[inline(always)]
pub fn point() {}
