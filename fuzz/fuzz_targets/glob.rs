#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    llmcache_fuzz::glob::run(data);
});
