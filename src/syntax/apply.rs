//! `APPLY`: a change that another node made.

use super::args::Args;
use super::error::SyntaxError;

/// What is to be repeated, with its records as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply<'a> {
    /// Take over a policy.
    Policy(&'a [u8]),
    /// Store an entry: its context and the rest, and the id that it must have.
    Store(&'a [u8], &'a [u8], Option<&'a [u8]>),
    /// Take over an entry that lives longer: its context and the rest.
    Renew(&'a [u8], &'a [u8]),
    /// Move ends of lives.
    Lives(&'a [u8]),
    /// Take over counters.
    Counters(&'a [u8]),
    /// Take over what was said of pairs of prompts and entries.
    Feedback(&'a [u8]),
    /// Take over a plan.
    Plan(&'a [u8]),
    /// Give up the plan of this name.
    Unplan(&'a [u8]),
    /// Take over all alerts.
    Alerts(&'a [u8]),
    /// Take all entries out.
    Clear,
    /// Forget all but counters: everything is told again, so many entries included.
    Anew(u64),
}

impl<'a> Apply<'a> {
    /// Reads `key (POLICY record | STORE record record | …)`.
    pub fn parse(words: &'a [&'a [u8]]) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let action = args.option().ok_or(SyntaxError::Arity)?;
        let apply = match action.name() {
            "POLICY" => Self::Policy(args.positional()?),
            "STORE" => {
                let (context, entry) = (args.positional()?, args.positional()?);
                let id = if args.left() > 0 { Some(args.positional()?) } else { None };
                Self::Store(context, entry, id)
            }
            "RENEW" => Self::Renew(args.positional()?, args.positional()?),
            "LIVES" => Self::Lives(args.positional()?),
            "COUNTERS" => Self::Counters(args.positional()?),
            "FEEDBACK" => Self::Feedback(args.positional()?),
            "PLAN" => Self::Plan(args.positional()?),
            "UNPLAN" => Self::Unplan(args.positional()?),
            "ALERTS" => Self::Alerts(args.positional()?),
            "CLEAR" => Self::Clear,
            "ANEW" => Self::Anew(args.number("ANEW", 0, i64::MAX)?),
            _ => {
                let known = "POLICY, STORE, RENEW, LIVES, COUNTERS, FEEDBACK, PLAN, UNPLAN, ALERTS, CLEAR or ANEW";
                return Err(args.not_one_of("action", known));
            }
        };
        args.finish()?;
        Ok(apply)
    }
}
