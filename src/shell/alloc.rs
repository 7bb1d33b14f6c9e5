//! The server's allocator as Rust's: what the module holds shows in the server's memory figures and counts towards
//! `maxmemory`. Unlike the crate's own `RedisAlloc` it knows `realloc`, so that a growing vector need not be copied.

use redis_module::raw;
use std::alloc::{GlobalAlloc, Layout, System};

/// The server's allocator.
pub struct ServerAlloc;

/// What the server's allocator aligns everything to that is not smaller itself.
const ALIGNED: usize = 16;

/// A size whose size class is aligned well enough.
fn rounded(size: usize, align: usize) -> usize {
    size.max(1).next_multiple_of(align)
}

// SAFETY: memory of an alignment up to 16 comes from and goes to the server, any other from and to the system; the
// layout, which is the same at every call for a block, tells which. The server's functions are C's malloc, calloc,
// realloc and free in behaviour, and abort the server rather than answer null.
unsafe impl GlobalAlloc for ServerAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the table of server functions is written once, before any thread of ours starts.
        match unsafe { raw::RedisModule_Alloc } {
            // SAFETY: as above.
            Some(alloc) if layout.align() <= ALIGNED => unsafe { alloc(rounded(layout.size(), layout.align())).cast() },
            // SAFETY: passed on as it came.
            _ if layout.align() > ALIGNED => unsafe { System.alloc(layout) },
            _ => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the table of server functions is written once, before any thread of ours starts.
        match unsafe { raw::RedisModule_Calloc } {
            // SAFETY: as above.
            Some(calloc) if layout.align() <= ALIGNED => unsafe {
                calloc(1, rounded(layout.size(), layout.align())).cast()
            },
            // SAFETY: passed on as it came.
            _ if layout.align() > ALIGNED => unsafe { System.alloc_zeroed(layout) },
            _ => std::ptr::null_mut(),
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the table of server functions is written once, before any thread of ours starts.
        match unsafe { raw::RedisModule_Realloc } {
            // SAFETY: the block came from the server, as its layout says.
            Some(realloc) if layout.align() <= ALIGNED => unsafe {
                realloc(block.cast(), rounded(size, layout.align())).cast()
            },
            // SAFETY: the block came from the system, as its layout says.
            _ if layout.align() > ALIGNED => unsafe { System.realloc(block, layout, size) },
            _ => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the table of server functions is written once, before any thread of ours starts.
        match unsafe { raw::RedisModule_Free } {
            // SAFETY: the block came from the server, as its layout says.
            Some(free) if layout.align() <= ALIGNED => unsafe { free(block.cast()) },
            // SAFETY: the block came from the system, as its layout says.
            _ if layout.align() > ALIGNED => unsafe { System.dealloc(block, layout) },
            // Nothing can have been handed out.
            _ => {}
        }
    }
}
