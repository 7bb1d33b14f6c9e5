//! An allocator that counts what each thread holds, as jemalloc would give it, and the most it held: for tests that compare
//! what the cache says it takes with what it was given. Each such test is a binary of its own that includes this file.
#![allow(dead_code)] // not every binary asks for everything

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// jemalloc's size classes: multiples of 16 up to 128 (and 8), then four to each doubling.
pub fn class(size: usize) -> isize {
    let mut step = 16;
    while size > step * 8 {
        step *= 2;
    }
    let class = if size <= 8 { 8 } else { size.div_ceil(step) * step };
    class as isize
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: everything is handed to the system's allocator as it came; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(class(layout.size()));
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-class(layout.size()));
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What this thread holds.
pub fn held() -> isize {
    HELD.get()
}

/// The most that this thread holds, beyond what it held before, while something is done.
pub fn most(work: impl FnOnce()) -> isize {
    let before = held();
    MOST.set(before);
    work();
    MOST.get() - before
}
