//! The two things that are compared.

use crate::common::answers::Entry;
use crate::harness::encode;

pub const CACHE: &str = "faq";
const TTL: &str = "86400";

/// One of them: its commands, encoded, by entry.
pub struct Side {
    pub name: &'static str,
    pub set: Vec<Vec<u8>>,
    pub get: Vec<Vec<u8>>,
    /// The names under which INFO commandstats counts SET and GET.
    pub stats: [&'static str; 2],
}

impl Side {
    pub fn plain(entries: &[Entry], name: &'static str) -> Side {
        let key = |e: &Entry| if name == "plain" { e.key.clone() } else { e.key.replace("llm:", "alt:") };
        let set = entries.iter().map(|e| encode(&[b"SET", key(e).as_bytes(), &e.response, b"EX", TTL.as_bytes()]));
        let get = entries.iter().map(|e| encode(&[b"GET", key(e).as_bytes()]));
        Side { name, set: set.collect(), get: get.collect(), stats: ["cmdstat_set", "cmdstat_get"] }
    }

    pub fn cache(entries: &[Entry], auto: bool) -> Side {
        let expiry: &[&[u8]] = if auto { &[] } else { &[b"EX", TTL.as_bytes()] };
        let set = entries.iter().map(|e| {
            encode(&[&[b"LLMCACHE.SET", CACHE.as_bytes(), &e.prompt, &e.response] as &[&[u8]], expiry].concat())
        });
        let get = entries.iter().map(|e| encode(&[b"LLMCACHE.GET", CACHE.as_bytes(), &e.prompt]));
        let stats = ["cmdstat_LLMCACHE.SET", "cmdstat_LLMCACHE.GET"];
        Side { name: "LLMCACHE", set: set.collect(), get: get.collect(), stats }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Act {
    SetNew,
    SetAgain,
    Get,
}
