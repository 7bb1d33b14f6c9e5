//! `APPLY`: what another node decided, repeated. Replicas and the append-only file send it; what it carries is checked as
//! if anyone had.

use super::Call;
use crate::core::cache::Cache;
use crate::core::effects::Effects;
use crate::core::wire::WireError;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{home, Intent, Key};
use crate::shell::publish::publish_verbatim;
use crate::syntax::error::SyntaxError;

pub fn run(call: &Call<'_>) -> Outcome {
    let mut key = Key::open(call.ctx, call.key(), Intent::Write)?;
    let name = call.key_name();
    let mut made = Cache::default();
    let there = key.cache();
    let is_new = there.is_none();
    let cache = there.unwrap_or(&mut made);
    let effects = repeat(call, cache)?;
    if is_new {
        key.place(made, home(call.ctx, name.as_slice()));
    }
    publish_verbatim(call.ctx, &name, &effects);
    call.reply().ok();
    Ok(())
}

fn repeat(call: &Call<'_>, cache: &mut Cache) -> Result<Effects, Failure> {
    let nothing = Effects::default();
    let done: Result<Effects, WireError> = match *call.words {
        [_, b"POLICY", record] => cache.read_policy(record).map(|()| Effects { policy: true, ..nothing }),
        [_, b"STORE", context, entry] => cache.repeat_store(context, entry, call.now),
        [_, b"RENEW", context, entry] => cache.repeat_renewal(context, entry, call.now),
        [_, b"LIVES", record] => cache.repeat_lives(record),
        [_, b"COUNTERS", record] => cache.read_counters(record).map(|()| nothing),
        [_, b"CLEAR"] => Ok(cache.repeat_clear()),
        _ => {
            let known = "POLICY, STORE, RENEW, LIVES, COUNTERS or CLEAR with its records".to_owned();
            return Err(SyntaxError::Unfit("APPLY", format!("takes {known}")).into());
        }
    };
    Ok(done?)
}
