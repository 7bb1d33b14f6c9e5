//! What GET and EXPLAIN share: the search among similar prompts.

use super::Call;
use crate::core::cache::{Cache, Found, Miss};
use crate::core::ledger::latency::Work;
use crate::core::matching::{Look, Wanted, ASKED_FOR};
use crate::core::storing::VectorError;
use crate::shell::registry::Resident;
use crate::shell::search::{self, Searching, Sought};
use crate::shell::{config, log};
use redis_module::RedisString;
use std::ops::Deref;

/// A search that is done: here and now, or by a thread before the command was run again.
pub enum Searched<'a> {
    Here(Box<Sought>),
    Before(&'a Sought),
}

impl Deref for Searched<'_> {
    type Target = Sought;

    fn deref(&self) -> &Sought {
        match self {
            Self::Here(sought) => sought,
            Self::Before(sought) => sought,
        }
    }
}

/// Searches, unless a thread has done so before. None when it has to be done elsewhere: the client waits, and the command
/// is run again.
pub fn search<'a>(call: &Call<'a>, searching: Searching) -> Option<Searched<'a>> {
    // A command that is run again cannot wait a second time.
    let leaves = call.sought.is_none() && search::should_leave(call.ctx, &searching.asking, searching.reach.0);
    let mut sought = Box::new(Sought::new(searching));
    if leaves {
        match search::leave(call.ctx, sought, Some(call.handler)) {
            Ok(()) => return None,
            Err(back) => sought = back,
        }
    }
    sought.run();
    Some(Searched::Here(sought))
}

/// What a lookup finds by its digest or, where it may, by similarity, and which of the two it was. None when the client
/// has to wait for it.
pub fn find(
    call: &Call<'_>,
    resident: &mut Resident,
    wanted: &Wanted<'_>,
) -> Result<Option<(Found, Work)>, VectorError> {
    let number = resident.number();
    let searched = match call.sought.filter(|sought| sought.cache == number) {
        Some(sought) => Searched::Before(sought),
        None => match resident.cache.look(wanted)? {
            Look::Found(found) => {
                let is_similar = matches!(found, Found::Similar { .. });
                if is_similar && config::logs_prompts() {
                    log_found(call, &resident.cache, wanted, found);
                }
                return Ok(Some((found, if is_similar { Work::GetSimilar } else { Work::GetExact })));
            }
            Look::Search(asking) => {
                let reach = (asking.floor(), ASKED_FOR);
                let searching = Searching { cache: number, asking: *asking, reach, claim: None };
                let Some(searched) = search(call, searching) else { return Ok(None) };
                searched
            }
        },
    };
    let found = resident.cache.settle(&searched.asking, &searched.hits, wanted);
    if config::logs_prompts() {
        log_found(call, &resident.cache, wanted, found);
    }
    Ok(Some((found, Work::GetSimilar)))
}

/// How many characters of a prompt the log shows.
const SHOWN: usize = 200;

/// A prompt as one line of the log.
fn shown(prompt: &[u8]) -> String {
    let prompt = prompt.get(..4 * SHOWN).unwrap_or(prompt);
    let harmless = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(prompt).chars().take(SHOWN).map(harmless).collect()
}

/// Logs what a search came to. The administrator has asked for it: prompts are private.
pub fn log_found(call: &Call<'_>, cache: &Cache, wanted: &Wanted<'_>, found: Found) {
    let prompt = shown(wanted.identity.prompt);
    let came_to = match found {
        Found::Exact(..) => return,
        Found::Similar { slot, similarity, .. } => {
            let other = cache.store().view(slot).map_or_else(String::new, |entry| shown(entry.prompt()));
            format!("has the answer of '{other}', similarity {similarity:.4}")
        }
        Found::Miss(Miss::Guard(guard)) => {
            format!("has no answer: the most similar was stopped by guard {}", guard.name())
        }
        Found::Miss(Miss::Feedback) => "has no answer: the most similar was called a bad one".to_owned(),
        Found::Miss(Miss::BelowThreshold) => "has no answer: nothing is similar enough".to_owned(),
        Found::Miss(Miss::Expired | Miss::Absent) => "has no answer".to_owned(),
    };
    let key = shown(RedisString::string_as_slice(call.key()));
    log::notice(call.ctx, &format!("similar lookup in cache '{key}': '{prompt}' {came_to}"));
}
