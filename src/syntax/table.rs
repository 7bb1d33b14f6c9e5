//! Every command there is: what it is called, what may be typed, what it does to its key.
//!
//! The server's COMMAND, COMMAND DOCS and ACL come from this table, and the README's reference is checked against it.

/// What a command does to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads it.
    Read,
    /// Reads it, if it is given.
    ReadOptional,
    /// Creates or changes it.
    Write,
    /// Takes something out of it.
    Delete,
    /// Forgets what was counted of it, if it is given. That is neither reading nor writing.
    Reset,
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What may be typed after it.
    pub grammar: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// What it does to the key.
    pub access: Access,
    /// The server's flags beside those that follow from `access`.
    pub flags: &'static str,
    /// How many words it has: exactly, or at least when below zero, the name among them.
    pub arity: i32,
}

/// All commands. None is `deny-oom` that stores or removes answers: near the limit a cache makes room by itself.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "LLMCACHE.GET",
        grammar: LOOKUP_GRAMMAR,
        summary: "Returns the cached response to a prompt",
        complexity: "O(1) plus the length of the prompt and of the response; similar: O(N) at worst with N entries of the context",
        access: Access::Read,
        flags: "fast",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.SET",
        grammar: "key prompt response [MODEL model] [SYSTEM system] [PARAMS json] [SCOPE scope] [FP32 blob | VALUES count number...] [REQUEST] [NX | XX | TOKEN token] \
                  [STRATEGY strategy | EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                  PXAT unix-time-milliseconds | KEEPTTL | PERSIST] [STALE seconds] [TYPE type] [TAGS count tag...] \
                  [TOKENS tokens-in tokens-out] [COST usd] [LATENCY milliseconds] [META json]",
        summary: "Stores the response to a prompt",
        complexity: "O(log N) plus the length of the response, which is compressed",
        access: Access::Write,
        flags: "",
        arity: -4,
    },
    Command {
        name: "LLMCACHE.FETCH",
        grammar: FETCH_GRAMMAR,
        summary: "Returns the cached response to a prompt, or says who computes it",
        complexity: "O(1) plus the length of the prompt and of the response; similar: O(N) at worst with N entries of the context",
        access: Access::Write,
        flags: "",
        arity: -5,
    },
    Command {
        name: "LLMCACHE.RENEW",
        grammar: "key token milliseconds",
        summary: "Prolongs a lease",
        complexity: "O(log N) with N leases",
        access: Access::Write,
        flags: "fast",
        arity: 4,
    },
    Command {
        name: "LLMCACHE.RELEASE",
        grammar: "key token [ERROR message]",
        summary: "Gives a lease back to those who wait",
        complexity: "O(log N) with N leases, and O(M) with ERROR for M who wait",
        access: Access::Write,
        flags: "",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.DEL",
        grammar: "key id...",
        summary: "Deletes entries by id",
        complexity: "O(log N) for each id",
        access: Access::Delete,
        flags: "fast",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.INVALIDATE",
        grammar: "key [ALL] [TAG count tag...] [MODEL model] [SCOPE scope] [TYPE type] [STRATEGY strategy] \
                  [PROMPT prompt] [SYSTEM system] [PARAMS json] [MATCH glob] [OLDERTHAN seconds] [SOFT] [DRYRUN]",
        summary: "Removes the entries that meet all selectors, or makes them stale",
        complexity: "O(M) by TAG or PROMPT with M entries selected, O(N) otherwise",
        access: Access::Delete,
        flags: "",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.SCAN",
        grammar: "key cursor [COUNT count] [MATCH glob] [TAG tag] [MODEL model] [SCOPE scope]",
        summary: "Lists ids and prompts of the entries, page by page",
        complexity: "O(COUNT) for each call",
        access: Access::Read,
        flags: "",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.ENTRY",
        grammar: "key id [WITHRESPONSE]",
        summary: "Shows everything about one entry",
        complexity: "O(1)",
        access: Access::Read,
        flags: "fast",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.TTL",
        grammar: "key id",
        summary: "Returns the seconds that an entry has left",
        complexity: "O(1)",
        access: Access::Read,
        flags: "fast",
        arity: 3,
    },
    Command {
        name: "LLMCACHE.EXPIRE",
        grammar: "key id seconds",
        summary: "Sets the seconds that an entry has left",
        complexity: "O(log N)",
        access: Access::Write,
        flags: "fast",
        arity: 4,
    },
    Command {
        name: "LLMCACHE.CREATE",
        grammar: POLICY_GRAMMAR,
        summary: "Creates an empty cache with a policy",
        complexity: "O(1)",
        access: Access::Write,
        flags: "deny-oom",
        arity: -2,
    },
    Command {
        name: "LLMCACHE.ALTER",
        grammar: POLICY_GRAMMAR,
        summary: "Changes the policy of a cache",
        complexity: "O(1), and O(M log N) for M entries that no longer fit",
        access: Access::Write,
        flags: "",
        arity: -2,
    },
    Command {
        name: "LLMCACHE.INFO",
        grammar: "key",
        summary: "Shows a cache's policy, sizes, strategies, rules and alerts",
        complexity: "O(S) with S strategies, rules and alerts",
        access: Access::Read,
        flags: "",
        arity: 2,
    },
    Command {
        name: "LLMCACHE.STRATEGY",
        grammar: "key (SET name (TTL seconds | PERSIST) [STALE seconds] [JITTER percent] | DEL name | LIST)",
        summary: "Defines, deletes or lists strategies",
        complexity: "O(S) with S strategies",
        access: Access::Write,
        flags: "deny-oom",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.RULE",
        grammar:
            "key (SET name [TYPE glob] [MODEL glob] [SCOPE glob] [PROMPT glob] STRATEGY strategy | DEL name | LIST)",
        summary: "Defines, deletes or lists the rules that choose strategies",
        complexity: "O(R) with R rules",
        access: Access::Write,
        flags: "deny-oom",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.STATS",
        grammar: "[key] [BY dimension] [WINDOW seconds] [FORMAT format]",
        summary: "Returns what a cache, or all caches of this node, have done and saved",
        complexity: "O(1), without a key O(C) with C caches; BY: O(C*N) with N names, of which a cache tells at most 256",
        access: Access::ReadOptional,
        flags: "",
        arity: -1,
    },
    Command {
        name: "LLMCACHE.RESETSTATS",
        grammar: "[key]",
        summary: "Forgets what a cache, or all caches of this node, have done and saved",
        complexity: "O(1), without a key O(C) with C caches",
        access: Access::Reset,
        flags: "admin",
        arity: -1,
    },
    Command {
        name: "LLMCACHE.EXPLAIN",
        grammar: LOOKUP_GRAMMAR,
        summary: "Tells what a GET would answer, and why; changes nothing",
        complexity: "O(1) plus the length of the prompt; similar: O(N) with N entries of the context",
        access: Access::Read,
        flags: "",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.FEEDBACK",
        grammar: "key id (good | bad) [FOR prompt] [MODEL model] [SYSTEM system] [PARAMS json] [SCOPE scope] [REQUEST]",
        summary: "Says of an entry, or of it as the answer to a prompt, that it was right or wrong",
        complexity: "O(log N)",
        access: Access::Write,
        flags: "fast",
        arity: -4,
    },
    Command {
        name: "LLMCACHE.ALERT",
        grammar: "key (SET name figure (ABOVE | BELOW) value [WINDOW seconds] | DEL name | LIST)",
        summary: "Defines, deletes or lists the rules that tell when a figure goes beyond a bound",
        complexity: "O(A) with A alerts",
        access: Access::Write,
        flags: "",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.WARM",
        grammar: WARM_GRAMMAR,
        summary: "Stores many answers at once; plans which prompts are kept warm, and hands out those that are due",
        complexity: "O(M log N) for M items, a few at a time between other clients' commands; DUE and STATUS: O(P) with P \
                     planned items, 10,000 of them at most",
        access: Access::Write,
        flags: "",
        arity: -3,
    },
    Command {
        name: "LLMCACHE.APPLY",
        grammar:
            "key (POLICY record | STORE record record [id] | RENEW record record | LIVES record | COUNTERS record | FEEDBACK record | PLAN record | UNPLAN profile | ALERTS record | CLEAR | ANEW count)",
        summary: "Repeats a change on replicas and from the append-only file; not for clients",
        complexity: "O(log N) for each entry",
        access: Access::Write,
        flags: "admin",
        arity: -3,
    },
];

/// The command that is not for clients.
const INTERNAL: &str = "LLMCACHE.APPLY";

const LOOKUP_GRAMMAR: &str = "key prompt [MODEL model] [SYSTEM system] [PARAMS json] [SCOPE scope] \
     [FP32 blob | VALUES count number...] [REQUEST] [EXACT | SIMILAR] [THRESHOLD similarity] \
     [MAXAGE seconds] [IFNONEMATCH etag] [STALEOK] [NOTOUCH] [WITHMETA]";

const FETCH_GRAMMAR: &str = "key prompt [MODEL model] [SYSTEM system] [PARAMS json] [SCOPE scope] \
     [FP32 blob | VALUES count number...] [REQUEST] [EXACT | SIMILAR] [THRESHOLD similarity] \
     [MAXAGE seconds] [IFNONEMATCH etag] [STALEOK] [NOTOUCH] [WITHMETA] LEASE milliseconds [BLOCK milliseconds]";

/// What all items of a call may have in common.
macro_rules! item_options {
    () => {
        "[MODEL model] [SYSTEM system] [PARAMS json] [SCOPE scope] [FP32 blob | VALUES count number...] \
         [STRATEGY strategy | EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | \
         KEEPTTL | PERSIST] [STALE seconds] [TYPE type] [TAGS count tag...] [TOKENS tokens-in tokens-out] [COST usd] \
         [LATENCY milliseconds] [META json]"
    };
}

const WARM_GRAMMAR: &str = concat!(
    "key ([NX | XX] [REQUEST] ",
    item_options!(),
    " (ITEMS count (prompt response)... | JSON array) | PLAN profile EVERY seconds [LIMIT count] [HOT count] ",
    item_options!(),
    " JSON array | UNPLAN profile | STATUS | DUE [PROFILE profile] [COUNT count] [WITHIN seconds] [LEASE milliseconds])"
);

const POLICY_GRAMMAR: &str = "key [MODE mode] [SIMILARITY kind] [DIM count] [METRIC metric] [THRESHOLD similarity] \
     [GUARDS switch] [STRATEGY strategy] [STALE seconds] [JITTER percent] \
     [MAXENTRIES count] [MAXMEMORY bytes] [EVICT policy] [COMPRESS method] [LEVEL level] \
     [PRICE model input-per-mtok output-per-mtok [CACHED input-per-mtok]]...";

impl Command {
    /// The flags to register it with. None of them lets its arguments into the slow log: prompts are private.
    pub fn server_flags(&self) -> String {
        let access = match self.access {
            Access::Read => "readonly",
            Access::ReadOptional => "readonly getkeys-api no-mandatory-keys",
            Access::Reset => "getkeys-api no-mandatory-keys",
            Access::Write | Access::Delete => "write",
        };
        format!("{access} no-slowlog {}", self.flags).trim_end().to_owned()
    }

    /// The ACL categories to put it into, where the server lets modules choose; `own` says whether it lets them have one
    /// of their own. What is not for clients stays out of that one.
    pub fn acl_categories(&self, own: bool) -> String {
        let access = match self.access {
            Access::Read | Access::ReadOptional => "read ",
            Access::Write | Access::Delete => "write ",
            Access::Reset => "",
        };
        let speed = if self.flags.contains("fast") { "fast" } else { "slow" };
        let admin = if self.flags.contains("admin") { " admin dangerous" } else { "" };
        let own = if own && self.name != INTERNAL { " llmcache" } else { "" };
        format!("{access}{speed}{admin}{own}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::grammar;

    #[test]
    fn every_grammar_can_be_read() {
        for command in COMMANDS {
            let tree = grammar::parse(command.grammar);
            assert!(tree.is_some_and(|tree| !tree.is_empty()), "{}: {}", command.name, command.grammar);
        }
    }
}
