//! The data type `llm-cache`: what the server calls to save, load, copy, measure and free a cache.
//!
//! Everything here is called by the server, so nothing may panic across it: each callback is caught at its border. Saving
//! and the append-only rewrite run in a forked child, and freeing may run on a thread of the server's.

use super::registry::{self, Home, Resident};
use super::{leases, server, worker};
use crate::core::cache::Cache;
use crate::core::codec::Codec;
use crate::core::entry::{Entry, Phase};
use crate::core::eviction::Pressure;
use crate::core::persist::{self, Sink, Source};
use crate::core::retelling::retell;
use crate::core::store::Mover;
use crate::core::wire::WireError;
use redis_module::native_types::RedisType;
use redis_module::{raw, RedisBuffer, RedisString};
use std::ffi::{c_char, c_int, c_void, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

/// The version of the type for the server. What a cache looks like inside has versions of its own.
const ENCODING: c_int = 1;

/// The type.
pub static LLM_CACHE: RedisType = RedisType::new(
    "llm-cache",
    ENCODING,
    raw::RedisModuleTypeMethods {
        version: redis_module::TYPE_METHOD_VERSION,
        rdb_load: Some(rdb_load),
        rdb_save: Some(rdb_save),
        aof_rewrite: Some(aof_rewrite),
        mem_usage: Some(mem_usage),
        digest: Some(digest),
        free: Some(free),
        aux_load: None,
        aux_save: None,
        aux_save_triggers: 0,
        free_effort: Some(free_effort),
        unlink: None,
        copy: None,
        defrag: Some(defrag),
        mem_usage2: None,
        free_effort2: None,
        unlink2: Some(unlink),
        copy2: Some(copy),
        aux_save2: None,
    },
);

/// Runs a callback; a panic is logged by the hook and answers `otherwise`.
fn guarded<T>(otherwise: T, callback: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(callback)).unwrap_or(otherwise)
}

/// The cache behind a value that the server hands out.
///
/// # Safety
/// `value` is the value of a key of this type, and nobody changes it meanwhile.
unsafe fn resident<'a>(value: *const c_void) -> &'a Resident {
    // SAFETY: as the caller promises; the values of the type are pointers to residents.
    unsafe { &*value.cast::<Resident>() }
}

struct Rdb(*mut raw::RedisModuleIO);

impl Sink for Rdb {
    fn number(&mut self, number: u64) {
        raw::save_unsigned(self.0, number);
    }

    fn record(&mut self, record: &[u8]) {
        raw::save_slice(self.0, record);
    }
}

impl Source for Rdb {
    fn number(&mut self) -> Result<u64, WireError> {
        raw::load_unsigned(self.0).map_err(|_| WireError::Source)
    }

    fn record(&mut self) -> Result<impl AsRef<[u8]>, WireError> {
        raw::load_string_buffer(self.0).map(Loaded).map_err(|_| WireError::Source)
    }
}

/// A buffer that the server filled and that goes back to it.
struct Loaded(RedisBuffer);

impl AsRef<[u8]> for Loaded {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// Whether what is being loaded comes from a primary.
static FROM_PRIMARY: AtomicBool = AtomicBool::new(false);

/// Notes whether what is about to be loaded comes from a primary: each node counts its own.
pub fn load_from_primary(does: bool) {
    FROM_PRIMARY.store(does, Ordering::Relaxed);
}

unsafe extern "C" fn rdb_load(rdb: *mut raw::RedisModuleIO, encoding: c_int) -> *mut c_void {
    guarded(std::ptr::null_mut(), || {
        let loaded = match encoding {
            ENCODING => persist::load(&mut Rdb(rdb)),
            _ => Err(WireError::Version),
        };
        match loaded {
            Ok(mut cache) => {
                if FROM_PRIMARY.load(Ordering::Relaxed) {
                    cache.ledger_mut().reset();
                }
                registry::admit(cache, home_of_io(rdb)).cast()
            }
            Err(e) => {
                log_io(rdb, &format!("a cache cannot be loaded: {e}"));
                std::ptr::null_mut()
            }
        }
    })
}

fn home_of_io(rdb: *mut raw::RedisModuleIO) -> Home {
    // SAFETY: the stream is the one being loaded; the name, where there is one, belongs to it.
    unsafe {
        let db = raw::RedisModule_GetDbIdFromIO.map_or(0, |db| db(rdb));
        let name = raw::RedisModule_GetKeyNameFromIO.map_or(std::ptr::null(), |name| name(rdb));
        home_of(db, name)
    }
}

fn home_of(db: c_int, name: *const raw::RedisModuleString) -> Home {
    let key = if name.is_null() { Box::default() } else { RedisString::string_as_slice(name).into() };
    Home { db, key }
}

fn log_io(rdb: *mut raw::RedisModuleIO, text: &str) {
    let Ok(text) = CString::new(text) else { return };
    // SAFETY: the level, the format and its one argument are C strings.
    if let Some(log) = unsafe { raw::RedisModule_LogIOError } {
        // SAFETY: as above.
        unsafe { log(rdb, c"warning".as_ptr(), c"%s".as_ptr(), text.as_ptr()) };
    }
}

unsafe extern "C" fn rdb_save(rdb: *mut raw::RedisModuleIO, value: *mut c_void) {
    guarded((), || {
        // SAFETY: the server hands out a key's value, and waits for us.
        let resident = unsafe { resident(value) };
        persist::save(&resident.cache, &mut Rdb(rdb));
    });
}

/// Writes one `LLMCACHE.APPLY` for the rewritten append-only file.
struct Aof {
    io: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
}

impl Aof {
    fn apply(&self, what: &str, records: &[&[u8]]) {
        let buffer = |bytes: &[u8]| (bytes.as_ptr().cast::<c_char>(), bytes.len());
        let (what, what_len) = buffer(what.as_bytes());
        let command = c"LLMCACHE.APPLY".as_ptr();
        // SAFETY: the format names a key, then a pointer and a length for each buffer, and these follow.
        let Some(emit) = (unsafe { raw::RedisModule_EmitAOF }) else { return };
        match records {
            [record] => {
                let (bytes, len) = buffer(record);
                // SAFETY: as above.
                unsafe { emit(self.io, command, c"sbb".as_ptr(), self.key, what, what_len, bytes, len) };
            }
            [first, second] => {
                let ((a, a_len), (b, b_len)) = (buffer(first), buffer(second));
                // SAFETY: as above.
                unsafe { emit(self.io, command, c"sbbb".as_ptr(), self.key, what, what_len, a, a_len, b, b_len) };
            }
            [first, second, third] => {
                let ((a, a_len), (b, b_len), (c, c_len)) = (buffer(first), buffer(second), buffer(third));
                let format = c"sbbbb".as_ptr();
                // SAFETY: as above.
                unsafe { emit(self.io, command, format, self.key, what, what_len, a, a_len, b, b_len, c, c_len) };
            }
            _ => {}
        }
    }
}

unsafe extern "C" fn aof_rewrite(aof: *mut raw::RedisModuleIO, key: *mut raw::RedisModuleString, value: *mut c_void) {
    guarded((), || {
        // SAFETY: the server hands out a key's value, and waits for us.
        let cache = unsafe { &resident(value).cache };
        let aof = Aof { io: aof, key };
        retell(cache, |what, records| aof.apply(what, records));
        aof.apply("COUNTERS", &[&cache.counters_record()]);
    });
}

unsafe extern "C" fn mem_usage(value: *const c_void) -> usize {
    // SAFETY: the server hands out a key's value, and waits for us.
    guarded(0, || memory(unsafe { resident(value) }))
}

/// Bytes behind a cache and what the shell keeps with it.
pub fn memory(resident: &Resident) -> usize {
    resident.cache.memory()
}

unsafe extern "C" fn free(value: *mut c_void) {
    guarded((), || {
        // SAFETY: the server gives up the value, which came from the registry.
        let resident = unsafe { registry::dismiss(value.cast()) };
        // DEL frees at once, on the main thread, where `lazyfree-lazy-user-del` does not say otherwise. A server that is
        // short of memory looks what each key has brought that it evicts, so there it is to come back at once.
        if server::is_main_thread() && server::pressure() == Pressure::None {
            worker::discard(resident.cache);
        }
    });
}

unsafe extern "C" fn free_effort(_: *mut raw::RedisModuleString, value: *const c_void) -> usize {
    // SAFETY: the server hands out a key's value, and waits for us.
    guarded(1, || unsafe { resident(value) }.cache.store().len() + 1)
}

unsafe extern "C" fn unlink(_: *mut raw::RedisModuleKeyOptCtx, value: *const c_void) {
    guarded((), || {
        // SAFETY: the main thread takes the value off its key, so nobody else looks at it.
        let resident = unsafe { &mut *value.cast_mut().cast::<Resident>() };
        resident.gone = true;
        leases::fail(&resident.home);
    });
}

unsafe extern "C" fn copy(ctx: *mut raw::RedisModuleKeyOptCtx, value: *const c_void) -> *mut c_void {
    guarded(std::ptr::null_mut(), || {
        // SAFETY: the context is that of the copy, and the name belongs to it.
        let home = unsafe {
            let db = raw::RedisModule_GetToDbIdFromOptCtx.map_or(0, |db| db(ctx));
            home_of(db, raw::RedisModule_GetToKeyNameFromOptCtx.map_or(std::ptr::null(), |name| name(ctx)))
        };
        // SAFETY: the server hands out a key's value, and waits for us.
        let mut copy = unsafe { resident(value) }.cache.clone();
        copy.resume_compression();
        copy.calm_alerts();
        registry::admit(copy, home).cast()
    })
}

unsafe extern "C" fn digest(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    guarded((), || {
        // SAFETY: the server hands out a key's value, and waits for us.
        digest_cache(&Digest(digest), unsafe { &resident(value).cache });
    });
}

struct Digest(*mut raw::RedisModuleDigest);

impl Digest {
    fn bytes(&self, bytes: &[u8]) {
        // SAFETY: the digest is the one being made, the buffer is ours for the time of the call.
        if let Some(add) = unsafe { raw::RedisModule_DigestAddStringBuffer } {
            // SAFETY: as above.
            unsafe { add(self.0, bytes.as_ptr().cast(), bytes.len()) };
        }
    }

    fn end(&self) {
        // SAFETY: the digest is the one being made.
        if let Some(end) = unsafe { raw::RedisModule_DigestEndSequence } {
            // SAFETY: as above.
            unsafe { end(self.0) };
        }
    }
}

/// What two nodes must agree on: the policy, and every entry that can be seen, whatever way its answer is stored.
fn digest_cache(digest: &Digest, cache: &Cache) {
    let now = server::now();
    let mut codec = Codec::new();
    digest.bytes(&cache.policy_record());
    digest.bytes(&cache.feedback_record());
    cache.plans().list().filter_map(|(name, _)| cache.plan_record(name)).for_each(|record| digest.bytes(&record));
    digest.bytes(&cache.alerts_record());
    digest.end();
    for (_, view) in cache.store().from_slot(0).filter(|(_, view)| view.life().phase(now) != Phase::Dead) {
        let (life, effort) = (view.life(), view.effort());
        digest.bytes(view.digest().as_bytes());
        digest.bytes(view.unpack(&mut codec).unwrap_or_default());
        for word in [Some(view.strategy()), view.rule(), view.typ(), view.meta()] {
            digest.bytes(word.unwrap_or_default());
        }
        view.tags().for_each(|tag| digest.bytes(tag));
        let numbers = [view.created().0, life.fresh_until.0, life.dead_at.0, life.stale_ms];
        let made = [effort.tokens_in, effort.tokens_out, effort.cost.micros(), effort.latency_ms];
        numbers.into_iter().chain(made).for_each(|number| digest.bytes(&number.to_le_bytes()));
        digest.end();
    }
}

/// How many entries are looked at between two questions whether to stop.
const DEFRAG_STEP: usize = 16;

unsafe extern "C" fn defrag(
    ctx: *mut raw::RedisModuleDefragCtx,
    _: *mut raw::RedisModuleString,
    value: *mut *mut c_void,
) -> c_int {
    guarded(0, || {
        // SAFETY: the server hands out a key's value, and waits for us. The resident itself stays where it is, since the
        // registry points to it.
        let store = unsafe { (**value.cast::<*mut Resident>()).cache.store_mut() };
        let mut cursor: std::ffi::c_ulong = 0;
        // SAFETY: the context is that of this defragmentation.
        unsafe { raw::RedisModule_DefragCursorGet.map(|get| get(ctx, &raw mut cursor)) };
        let mut next = Some(cursor);
        while let Some(slot) = next {
            // SAFETY: as above.
            if unsafe { raw::RedisModule_DefragShouldStop.is_some_and(|stop| stop(ctx) != 0) } {
                // SAFETY: as above.
                unsafe { raw::RedisModule_DefragCursorSet.map(|set| set(ctx, slot)) };
                return 1;
            }
            next = store.relocate(slot, DEFRAG_STEP, &mut Relocation(ctx));
        }
        0
    })
}

struct Relocation(*mut raw::RedisModuleDefragCtx);

impl Relocation {
    /// The allocation's new place, or the old one where the server sees no better.
    fn moved(&self, block: *mut c_void) -> *mut c_void {
        // SAFETY: the block came from the server's allocator, nobody else points to it, and its content does not care
        // where it lies.
        let moved = unsafe { raw::RedisModule_DefragAlloc.map_or(std::ptr::null_mut(), |alloc| alloc(self.0, block)) };
        if moved.is_null() {
            block
        } else {
            moved
        }
    }
}

impl Mover for Relocation {
    fn bytes(&mut self, bytes: Box<[u8]>) -> Box<[u8]> {
        if bytes.is_empty() {
            return bytes;
        }
        let length = bytes.len();
        let block = self.moved(Box::into_raw(bytes).cast());
        // SAFETY: the block holds the same bytes, and was made by the same allocator with the same layout.
        unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(block.cast(), length)) }
    }

    fn entry(&mut self, entry: Box<Entry>) -> Box<Entry> {
        let block = self.moved(Box::into_raw(entry).cast());
        // SAFETY: as above; an entry holds no pointer to itself.
        unsafe { Box::from_raw(block.cast()) }
    }
}
