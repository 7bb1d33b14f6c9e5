//! What GET and EXPLAIN share: the search among similar prompts.

use super::Call;
use crate::core::cache::Found;
use crate::core::ledger::latency::Work;
use crate::core::matching::{Look, Wanted, ASKED_FOR};
use crate::core::storing::VectorError;
use crate::shell::registry::Resident;
use crate::shell::search::{self, Searching, Sought};
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
    Ok(Some((resident.cache.settle(&searched.asking, &searched.hits, wanted), Work::GetSimilar)))
}
