//! Similar questions by the built-in model: which one finds whose answer, on which terms, and what is counted.
//!
//! What is alike here is clearly so, and what is different clearly different: where the threshold lies exactly is measured
//! by `make quality`.

use crate::harness::{args, cmd, Client, Reply, Server};
use crate::support::{
    both, entry, explain, fp32, get, id_of, indexed, meta, pass, set, stat, state, store, verdict, Dice,
};
use llmcache::core::similarity::guards::Guard;

/// A question, the same one in other clothes, and the same one with a slip of the pen.
const ASKED: &str = "How do I reset my password?";
const ALIKE: &str = "how do i reset  my PASSWORD";
const SLIP: &str = "How do I reset my passwrod?";
const OTHER: &str = "Why is the sky blue?";

/// A cache that matches similar questions, with the words of a line as its policy.
#[track_caller]
fn create(c: &mut Client, policy: &str) {
    c.words(&format!("LLMCACHE.CREATE faq MODE similar {policy}")).ok();
}

#[test]
fn the_cache_says_how_to_match_unless_the_call_does() {
    both(|c| {
        store(c, ASKED, "r");
        assert!(get(c, ALIKE, "").is_null(), "exact is the default");
        assert!(get(c, ALIKE, "EXACT").is_null());
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("index").field("state"), "none", "and needs no index");
        assert_eq!(get(c, ALIKE, "SIMILAR"), "r");
        assert!(get(c, ALIKE, "").is_null(), "a call speaks for itself only");
        assert!(get(c, ALIKE, "THRESHOLD 0.5").is_null(), "a threshold alone does not make it similar");
        for (options, mode, verdict) in
            [("", "exact", "miss"), ("SIMILAR", "similar", "hit"), ("EXACT", "exact", "miss")]
        {
            let told = explain(c, ALIKE, options);
            assert_eq!([told.field("mode").text(), told.field("verdict").text()], [mode, verdict], "{options}");
            assert_eq!(told.field("threshold").is_null(), mode == "exact", "{options}");
        }
        c.words("LLMCACHE.ALTER faq MODE similar").ok();
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("mode"), "similar");
        assert_eq!(get(c, ALIKE, ""), "r");
        assert_eq!(get(c, ALIKE, "SIMILAR"), "r");
        assert!(get(c, ALIKE, "EXACT").is_null());
        c.words("LLMCACHE.ALTER faq MODE exact").ok();
        assert!(get(c, ALIKE, "").is_null());
        let index = c.words("LLMCACHE.INFO faq").field("index").clone();
        assert_eq!((index.field("state").text().as_str(), index.field("entries").int()), ("none", 0), "of no use now");
    });
}

#[test]
fn a_call_that_contradicts_itself_is_an_error() {
    both(|c| {
        create(c, "");
        store(c, ASKED, "r");
        let before = state(c);
        for (options, error) in [
            ("EXACT SIMILAR", "ERR EXACT and SIMILAR exclude each other, give one of them"),
            ("THRESHOLD 0.9 EXACT", "ERR EXACT and THRESHOLD exclude each other, give one of them"),
            ("SIMILAR SIMILAR", "ERR SIMILAR may be given only once"),
            ("THRESHOLD 0.9 THRESHOLD 0.9", "ERR THRESHOLD may be given only once"),
            ("THRESHOLD 1.01", "ERR THRESHOLD must be a number from 0 to 1, got '1.01'"),
            ("THRESHOLD -0.1", "ERR THRESHOLD must be a number from 0 to 1, got '-0.1'"),
            ("THRESHOLD nan", "ERR THRESHOLD must be a number from 0 to 1, got 'nan'"),
            ("THRESHOLD high", "ERR THRESHOLD must be a number from 0 to 1, got 'high'"),
            ("THRESHOLD", "ERR THRESHOLD needs a value"),
            ("SIMLAR", "ERR unknown option 'SIMLAR' at argument 3, did you mean SIMILAR?"),
        ] {
            assert_eq!(get(c, ALIKE, options).error(), error);
            assert_eq!(explain(c, ALIKE, options).error(), error);
        }
        for line in ["THRESHOLD 2", "THRESHOLD nan", "GUARDS maybe", "MODE both", "SIMILARITY cosine"] {
            for command in [format!("ALTER faq {line}"), format!("CREATE other {line}")] {
                let name = line.split(' ').next().unwrap();
                let reply = c.words(&format!("LLMCACHE.{command}"));
                assert!(reply.error().starts_with(&format!("ERR {name} must be ")), "{reply:?}");
            }
        }
        assert_eq!(state(c), before);
        assert_eq!(c.words("DBSIZE"), 1);
    });
}

#[test]
fn a_threshold_of_a_call_only_tightens() {
    both(|c| {
        create(c, "THRESHOLD 0.5 GUARDS off");
        store(c, ASKED, "r");
        let similarity = meta(c, SLIP, "").field("similarity").number();
        assert!(0.5 < similarity && similarity < 1.0, "{similarity}");
        let above = f64::from_bits(similarity.to_bits() + 1);
        for (threshold, hit) in [(0.0, true), (0.5, true), (similarity, true), (above, false), (1.0, false)] {
            let options = format!("THRESHOLD {threshold}");
            assert_eq!(!get(c, SLIP, &options).is_null(), hit, "{options}, and it is {similarity}");
            let told = explain(c, SLIP, &options);
            assert_eq!(told.field("threshold").number(), threshold.max(0.5));
            assert_eq!(*told.field("reason"), if hit { "similar" } else { "below_threshold" }, "{options}");
        }
        assert_eq!(get(c, ALIKE, "THRESHOLD 1"), "r", "what is the same but for its clothes has a similarity of 1");
        // The cache's own cannot be undercut.
        assert_eq!(verdict(c, OTHER, "THRESHOLD 0"), "miss below_threshold");
        c.words(&format!("LLMCACHE.ALTER faq THRESHOLD {above}")).ok();
        assert_eq!(c.words("LLMCACHE.INFO faq").field("threshold").number(), above);
        assert!(get(c, SLIP, "").is_null());
        assert!(get(c, SLIP, "THRESHOLD 0.1").is_null());
        c.words("LLMCACHE.ALTER faq THRESHOLD 0").ok();
        assert_eq!(get(c, "How do I bake bread?", ""), "r", "as the cache says, anything will do");
    });
}

#[test]
fn a_similar_hit_tells_whose_answer_it_is() {
    both(|c| {
        create(c, "");
        set(c, ASKED, "answer", "EX 100 MODEL m TYPE t TAGS 1 x COST 0.25 TOKENS 1 2 LATENCY 7").ok();
        let id = meta(c, ASKED, "MODEL m").field("id").text();
        for (hits, (query, same)) in (1..).zip([(ALIKE, true), (SLIP, false)]) {
            let told = get(c, query, "MODEL m WITHMETA");
            for (name, value) in
                [("response", "answer"), ("id", &id), ("match", "similar"), ("prompt", ASKED), ("model", "m")]
            {
                assert_eq!(*told.field(name), value, "{query}");
            }
            let similarity = told.field("similarity");
            assert_eq!(similarity.number() == 1.0, same, "{query}: {similarity:?}");
            assert!((0.5..=1.0).contains(&similarity.number()), "{query}: {similarity:?}");
            assert_eq!(*told.field("hits"), hits);
            assert_eq!(told.field("cost_saved_usd").number(), 0.25 * hits as f64);
        }
        let exact = get(c, ASKED, "MODEL m WITHMETA");
        assert_eq!((exact.field("match").text().as_str(), exact.field("similarity").number()), ("exact", 1.0));
        assert_eq!(get(c, ALIKE, "MODEL m").bytes(), b"answer");
        assert_eq!(["hits", "hits_similar", "hits_exact"].map(|name| stat(c, name)), [4, 3, 1]);
        assert_eq!(*c.words("LLMCACHE.STATS faq").field("cost_saved_usd"), "1.000000");
        assert_eq!(stat(c, "latency_saved_ms"), 28);
    });
}

#[test]
fn the_very_same_question_comes_first() {
    both(|c| {
        create(c, "");
        store(c, ASKED, "first");
        store(c, ALIKE, "second");
        assert_eq!([get(c, ASKED, ""), get(c, ALIKE, "")].map(|r| r.text()), ["first", "second"]);
        assert_eq!(["hits_exact", "hits_similar"].map(|name| stat(c, name)), [2, 0]);
        let second = id_of(c, ALIKE);
        assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", second), 1);
        assert_eq!(get(c, ALIKE, ""), "first");
        store(c, ASKED, "changed");
        assert_eq!(get(c, ALIKE, ""), "changed", "a new answer to the same question is the one that is served");
    });
}

#[test]
fn an_etag_holds_for_a_similar_hit_too() {
    both(|c| {
        create(c, "");
        store(c, ASKED, "r");
        let etag = meta(c, ALIKE, "").field("etag").text();
        assert_eq!(meta(c, ASKED, "").field("etag").text(), etag);
        for more in ["", "WITHMETA"] {
            assert_eq!(get(c, ALIKE, &format!("IFNONEMATCH {etag} {more}")), Reply::Simple("NOTMODIFIED".into()));
        }
        assert_eq!(stat(c, "hits_similar"), 2, "it is a hit");
        store(c, ASKED, "new");
        assert_eq!(get(c, ALIKE, &format!("IFNONEMATCH {etag}")), "new");
        assert!(get(c, OTHER, &format!("IFNONEMATCH {etag}")).is_null());
    });
}

#[test]
fn a_similar_look_with_notouch_leaves_no_trace() {
    both(|c| {
        create(c, "MAXENTRIES 2 EVICT lru");
        for touch in [false, true] {
            store(c, ASKED, "1");
            store(c, OTHER, "2");
            let before = state(c);
            for (query, options) in [(ALIKE, ""), (SLIP, "WITHMETA"), ("Who wrote Hamlet?", "")] {
                get(c, query, &format!("{options} NOTOUCH"));
            }
            assert_eq!(state(c), before);
            if touch {
                assert_eq!(get(c, ALIKE, ""), "1");
                assert_ne!(state(c), before, "a look without it does leave one");
                assert_eq!(*entry(c, ASKED).field("hits"), 1);
            }
            store(c, "What do pandas eat?", "3");
            let (stays, goes) = if touch { (ASKED, OTHER) } else { (OTHER, ASKED) };
            assert!(!meta(c, stays, "EXACT").is_null() && meta(c, goes, "EXACT").is_null(), "touch: {touch}");
            c.words("LLMCACHE.INVALIDATE faq ALL");
        }
    });
}

#[test]
fn time_keeps_a_similar_answer_from_serving() {
    both(|c| {
        create(c, "");
        set(c, ASKED, "r", "EX 100 STALE 60").ok();
        pass(5);
        assert!(get(c, ALIKE, "MAXAGE 0").is_null());
        assert_eq!(get(c, ALIKE, "MAXAGE 60"), "r");
        assert_eq!(verdict(c, ALIKE, "MAXAGE 0"), "miss expired");
        c.words("LLMCACHE.INVALIDATE faq ALL SOFT");
        assert!(get(c, ALIKE, "").is_null());
        assert!(get(c, SLIP, "").is_null());
        assert_eq!(get(c, ALIKE, "STALEOK"), "r");
        let told = get(c, SLIP, "STALEOK WITHMETA");
        assert!(told.field("stale").truth());
        assert_eq!((told.field("match").text().as_str(), told.field("ttl").int()), ("similar", 0));
        assert_eq!([verdict(c, ALIKE, ""), verdict(c, SLIP, "STALEOK")], ["miss expired", "hit stale"]);
        let told = ["hits_similar", "hits_stale", "miss_expired", "lookups"].map(|name| stat(c, name));
        assert_eq!(told, [1, 2, 3, 6]);
        // A stale one stands in nobody's way.
        store(c, "how DO i reset my password", "fresh");
        assert_eq!([get(c, ALIKE, ""), get(c, SLIP, "")].map(|r| r.text()), ["fresh", "fresh"]);
        set(c, "Who wrote Hamlet?", "r", "PX 20").ok();
        pass(25);
        assert!(get(c, "who wrote hamlet", "STALEOK").is_null(), "an answer without a stale time is gone");
    });
}

#[test]
fn every_lookup_is_counted_once_and_by_its_reason() {
    both(|c| {
        create(c, "THRESHOLD 0.7");
        let (five, seven) = ("How do I convert 5 kilograms to pounds?", "How do I convert 7 kilograms to pounds?");
        for (prompt, options) in [(ASKED, "EX 100"), ("Who wrote Hamlet?", "PX 5 STALE 60"), (five, "EX 100")] {
            set(c, prompt, "r", options).ok();
        }
        pass(8);
        for (query, options) in [
            (ASKED, ""),
            (ALIKE, ""),
            (SLIP, ""),
            (OTHER, ""),
            (OTHER, "EXACT"),
            (seven, ""),
            ("who wrote hamlet", ""),
            ("who wrote hamlet", "STALEOK"),
            (ASKED, "SCOPE elsewhere"),
        ] {
            get(c, query, options);
            explain(c, query, options);
            get(c, query, &format!("{options} NOTOUCH"));
        }
        let told = c.words("LLMCACHE.STATS faq");
        for (name, count) in [
            ("lookups", 9),
            ("hits", 4),
            ("hits_exact", 1),
            ("hits_similar", 2),
            ("hits_stale", 1),
            ("misses", 5),
            ("miss_threshold", 1),
            ("miss_guard", 1),
            ("miss_expired", 1),
            ("miss_absent", 2),
        ] {
            assert_eq!(*told.field(name), count, "{name}");
        }
    });
}

/// Questions that differ in nothing that a reader would look at: the same text, once it is made comparable.
const SAME: [(&str, &[&str]); 6] = [
    (
        ASKED,
        &[
            "how do i reset my password",
            "HOW DO I RESET MY PASSWORD?",
            " How\tdo I \n reset my   password ?",
            "How do I reset my password?!?",
            "how do I reset my password...",
            "How do I, reset my password",
            "Please, how do I reset my password?",
            "Hi! How do I reset my password? Thank you!",
            "hello, how do i reset my password please",
        ],
    ),
    (
        "What is the capital of France?",
        &["What's the capital of France?", "what’s the capital of france", "WHAT IS THE CAPITAL OF FRANCE"],
    ),
    ("Why can't I log in?", &["Why cannot I log in?", "why cant i log in", "Why can’t I log in"]),
    ("I do not like it, what should I say?", &["I don't like it, what should I say?"]),
    (
        "Explain C++ templates",
        &["explain c++ templates.", "Please explain C++ templates", "Could you please explain C++ templates?"],
    ),
    ("How much is 1.5 plus -2?", &["how much is 1.5 plus -2"]),
];

/// Questions with a slip of the pen.
const SLIPS: [(&str, &[&str]); 5] = [
    (ASKED, &[SLIP, "How do I reset my pasword?", "How do I reset my passwordd?", "Hwo do I reset my password?"]),
    ("How do I change my password?", &["How do I chnage my password?"]),
    ("What is the capital of Germany?", &["What is the captial of Germany?", "Waht is the capital of Germany?"]),
    (
        "What are the symptoms of diabetes?",
        &["What are the symtoms of diabetes?", "What are the symptoms of diabetis?"],
    ),
    ("How do I install Python on Windows?", &["How do I intsall Python on Windows?"]),
];

#[test]
fn clothes_do_not_matter() {
    both(|c| {
        create(c, "");
        for (prompt, _) in SAME {
            store(c, prompt, prompt);
        }
        let mut missed = Vec::new();
        for (prompt, others) in SAME {
            for other in others {
                let told = meta(c, other, "THRESHOLD 1");
                if told.is_null() {
                    missed.push(format!("{prompt} / {other}: {}", verdict(c, other, "")));
                } else {
                    assert_eq!(told.field("response").text(), prompt, "{other}");
                    assert_eq!(
                        (told.field("match").text().as_str(), told.field("similarity").number()),
                        ("similar", 1.0)
                    );
                }
            }
        }
        assert!(missed.is_empty(), "{missed:#?}");
    });
}

#[test]
fn slips_of_the_pen_do_not_matter() {
    both(|c| {
        create(c, "");
        for (prompt, _) in SLIPS {
            store(c, prompt, prompt);
        }
        let mut missed = Vec::new();
        for (prompt, others) in SLIPS {
            for other in others {
                let found = get(c, other, "");
                if found.is_null() {
                    missed.push(format!("{prompt} / {other}: {}", verdict(c, other, "")));
                } else {
                    assert_eq!(found, prompt, "{other}");
                }
            }
        }
        assert!(missed.is_empty(), "{missed:#?}");
    });
}

#[test]
fn a_different_question_finds_nothing() {
    both(|c| {
        create(c, "");
        for (prompt, others) in [
            (
                ASKED,
                &["How do I reset my username?", "How do I reset my phone?", "Why do I need a password?", OTHER][..],
            ),
            ("What is the capital of France?", &["What is the capital of Spain?", "What is the population of France?"]),
            ("Is coffee good for you?", &["Is tea good for you?", "Is coffee bad for you?"]),
            ("Who wrote Hamlet?", &["Who wrote Macbeth?", "When was Hamlet written?"]),
            ("How do I open a bank account?", &["How do I close a bank account?"]),
            ("How long does shipping take?", &["How much does shipping cost?"]),
        ] {
            store(c, prompt, "r");
            for other in others {
                assert!(get(c, other, "").is_null(), "{other} got the answer to {prompt}");
            }
        }
    });
}

/// Questions that look nearly the same to any model, and are not.
const TURNED: [(&str, &str); 28] = [
    ("Who killed Brutus?", "Who did Brutus kill?"),
    ("Which company did Facebook acquire?", "Which company acquired Facebook?"),
    ("Can I sue my employer?", "Can my employer sue me?"),
    ("How do I give you access?", "How do you give me access?"),
    ("Who is my boss's wife?", "Who is my wife's boss?"),
    ("Are all cats animals?", "Are all animals cats?"),
    ("How many feet in a mile?", "How many miles in a foot?"),
    ("Give 500 mg of A and 250 mg of B", "Give 250 mg of A and 500 mg of B"),
    ("Increase 100 by 20 percent", "Increase 20 by 100 percent"),
    ("Who won the match 3-2?", "Who won the match 2-3?"),
    ("How do I log in to my account?", "How do I log out of my account?"),
    ("How do I roll back a release?", "How do I roll out a release?"),
    ("Can I leave before the exam?", "Can I leave during the exam?"),
    ("What is on this week?", "What is on next week?"),
    ("What is allowed on a plane?", "What is forbidden on a plane?"),
    ("Is x < y?", "Is x > y?"),
    ("What does i++ do?", "What does ++i do?"),
    ("What does !ready mean?", "What does ready mean?"),
    ("Does a* match it?", "Does a? match it?"),
    ("Is 5 MB/s fast?", "Is 5 Mb/s fast?"),
    ("What does ls -l do?", "What does ls -L do?"),
    ("What is the capital of Sudan?", "What is the capital of South Sudan?"),
    ("Who is the president of Peru?", "Who is the vice president of Peru?"),
    ("How much is the iPhone 15?", "How much is the iPhone 15 Pro?"),
    ("What is sodium nitrate?", "What is sodium nitrite?"),
    ("How does strcpy work?", "How does strncpy work?"),
    ("What is hepatitis A?", "What is hepatitis B?"),
    ("How do I read a file in C?", "How do I read a file in C++?"),
];

#[test]
fn what_is_turned_round_finds_nothing() {
    both(|c| {
        for policy in ["", "SIMILARITY lexical THRESHOLD 0.5", "THRESHOLD 0.5"] {
            create(c, policy);
            for (one, other) in TURNED {
                for (stored, asked) in [(one, other), (other, one)] {
                    store(c, stored, "r");
                    assert!(get(c, asked, "").is_null(), "{asked} got the answer to {stored}, {policy}");
                    c.words("LLMCACHE.INVALIDATE faq ALL");
                }
            }
            c.words("DEL faq");
        }
    });
}

/// For each guard, what must stop it although all the rest is alike.
const GUARDED: [(&str, &str, &str); 20] = [
    ("numbers", "How do I convert 5 kilograms to pounds?", "How do I convert 7 kilograms to pounds?"),
    ("numbers", "Is 5 kg too heavy for a parcel?", "Is 5 lb too heavy for a parcel?"),
    ("negation", "Which foods are safe to eat during pregnancy?", "Which foods are not safe to eat during pregnancy?"),
    ("negation", "How do I cook rice with a lid?", "How do I cook rice without a lid?"),
    ("names", "What is the weather like in Paris in spring?", "What is the weather like in Rome in spring?"),
    ("names", "How do I get from the airport to Berlin?", "How do I get from the airport to Munich?"),
    ("narrowed", "What is the best hotel?", "What is the best hotel in Paris?"),
    ("narrowed", "How do I get a driving licence?", "How do I get a driving licence in Germany?"),
    ("quotes", "What does the word \"affect\" mean here?", "What does the word \"effect\" mean here?"),
    ("quotes", "How do I pronounce \"rough\" in English?", "How do I pronounce \"tough\" in English?"),
    ("signs", "When is x < y true in this loop?", "When is x > y true in this loop?"),
    ("signs", "What does git branch -d do to it?", "What does git branch -D do to it?"),
    ("antonyms", "How do I buy shares of a company?", "How do I sell shares of a company?"),
    ("antonyms", "Should I eat before running?", "Should I eat after running?"),
    ("kinds", "What is the best way to learn the guitar?", "What is the best way to learn the piano?"),
    ("kinds", "What do cats eat?", "What do dogs eat?"),
    ("order", "How do I fly from London to Madrid?", "How do I fly from Madrid to London?"),
    ("order", "How do I convert pounds to kilograms?", "How do I convert kilograms to pounds?"),
    ("replaced", "How do I clean a chimney?", "How do I clean a keyboard?"),
    ("replaced", "Explain the basics of photosynthesis", "Explain the basics of cryptography"),
];

/// The guards by name, as far as caches of this kind of similarity have them.
fn guards(similarity: &str) -> Vec<&'static str> {
    let all = Guard::ALL.iter().map(|guard| guard.name());
    all.filter(|name| similarity != "vector" || *name != "replaced").collect()
}

#[test]
fn each_guard_stops_what_changes_the_meaning() {
    both(|c| {
        let mut wrong = Vec::new();
        for guard in Guard::ALL {
            assert!(GUARDED.iter().any(|(name, ..)| *name == guard.name()), "no example of {}", guard.name());
        }
        for similarity in ["builtin", "lexical", "vector"] {
            // However dissimilar: nothing but a guard is in the way.
            create(c, &format!("SIMILARITY {similarity} THRESHOLD 0"));
            let vector = fp32(&[1.0, 2.0, -3.0]);
            let asks = |command: &'static str, prompt: &str, answer: &[&str]| {
                let mut words = args![command, "faq", prompt];
                words.extend(answer.iter().map(|word| word.as_bytes().to_vec()));
                if similarity == "vector" {
                    words.extend(args!["FP32", vector]);
                }
                words
            };
            let names = guards(similarity);
            for (guard, one, another) in GUARDED.iter().filter(|(guard, ..)| names.contains(guard)) {
                for (stored, query) in [(one, another), (another, one)] {
                    let stopped = stat(c, "miss_guard");
                    c.cmd(&asks("LLMCACHE.SET", stored, &["r", "PERSIST"])).ok();
                    let told = c.cmd(&asks("LLMCACHE.EXPLAIN", query, &[]));
                    let guards = told.field("candidates").at(0).field("guards").clone();
                    let found = c.cmd(&asks("LLMCACHE.GET", query, &[]));
                    if !found.is_null() || *told.field("reason") != format!("guard:{guard}").as_str() {
                        wrong.push(format!("{similarity}: {stored} / {query}: {}", told.field("reason").text()));
                    } else {
                        assert_eq!(stat(c, "miss_guard"), stopped + 1);
                        assert_ne!(*guards.field(guard), "pass", "{stored} / {query}");
                        assert_eq!(*told.field("candidates").at(0).field("verdict"), *told.field("reason"));
                    }
                    assert_eq!(guards.names(), names, "{similarity}");
                    // The guard is all that was in the way.
                    c.words("LLMCACHE.ALTER faq GUARDS off").ok();
                    assert_eq!(c.cmd(&asks("LLMCACHE.GET", query, &[])), "r", "{similarity}: {stored} / {query}");
                    c.words("LLMCACHE.ALTER faq GUARDS on").ok();
                    c.words("LLMCACHE.INVALIDATE faq ALL");
                }
            }
            c.words("DEL faq");
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn guards_let_pass_what_says_the_same() {
    both(|c| {
        create(c, "THRESHOLD 0");
        for (prompt, other) in [
            ("How many hours are in 5 days?", "How many hours are in five days?"),
            ("How do I buy a car?", "How can I buy a car?"),
            ("What is the largest planet?", "What is the biggest planet?"),
            ("How do I fix a flat tire?", "How do I repair a flat tire?"),
            ("Who wrote Hamlet?", "Who was it that wrote Hamlet?"),
        ] {
            store(c, prompt, "r");
            assert_eq!(verdict(c, other, ""), "hit similar", "{prompt} / {other}");
            c.words("LLMCACHE.INVALIDATE faq ALL");
        }
    });
}

#[test]
fn a_guard_that_stops_the_best_leaves_the_next_one() {
    both(|c| {
        create(c, "THRESHOLD 0.5");
        store(c, "How do I convert 5 kilograms to pounds?", "five");
        store(c, "How do I convert 7 kilograms to pounds", "seven");
        assert_eq!(get(c, "how do I convert 7 kilogrammes to pounds?", ""), "seven");
        assert_eq!(get(c, "how do I convert 5 kilogrammes to pounds?", ""), "five");
        assert!(get(c, "how do I convert 6 kilogrammes to pounds?", "").is_null());
    });
}

/// A text of so many bytes, of words that a model knows.
fn long(bytes: usize) -> String {
    let mut text =
        "How do I reset the password of my account and of every other account that I ever had ".repeat(1 + bytes / 80);
    text.truncate(bytes - 1);
    text + "x"
}

#[test]
fn prompts_over_2048_bytes_are_matched_exactly_only() {
    both(|c| {
        create(c, "THRESHOLD 0 GUARDS off");
        for (bytes, similar) in [(2048, true), (2049, false), (100_000, false)] {
            let text = long(bytes);
            assert_eq!(text.len(), bytes);
            cmd!(c, "LLMCACHE.SET", "faq", text, "r").ok();
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", text), "r", "{bytes}");
            let other = text.to_uppercase();
            assert_eq!(!cmd!(c, "LLMCACHE.GET", "faq", other).is_null(), similar, "{bytes}");
            // Neither side may be longer.
            assert_eq!(!get(c, "How do I reset the password of my account?", "").is_null(), similar, "{bytes}");
            c.words("LLMCACHE.INVALIDATE faq ALL");
            store(c, "How do I reset the password of my account?", "short");
            assert_eq!(!cmd!(c, "LLMCACHE.GET", "faq", other).is_null(), similar, "{bytes}");
            c.words("LLMCACHE.INVALIDATE faq ALL");
        }
    });
}

#[test]
fn what_is_no_text_is_matched_exactly_only() {
    both(|c| {
        create(c, "THRESHOLD 0 GUARDS off");
        for (prompt, other) in [
            (&b"How do I reset my password? \xff"[..], &b"how do i reset my password? \xff"[..]),
            (b"\xfe\0\xff", b"\xfe\0\xfe"),
            (b"?!?", b"?!"),
        ] {
            cmd!(c, "LLMCACHE.SET", "faq", prompt, "r").ok();
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", prompt), "r");
            assert!(cmd!(c, "LLMCACHE.GET", "faq", other).is_null(), "{other:?}");
            assert!(get(c, ASKED, "").is_null());
            c.words("LLMCACHE.INVALIDATE faq ALL");
            store(c, ASKED, "r");
            assert!(cmd!(c, "LLMCACHE.GET", "faq", other).is_null(), "{other:?}");
            c.words("LLMCACHE.INVALIDATE faq ALL");
        }
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("index").field("entries"), 0);
    });
}

#[test]
fn other_languages_are_found_by_their_letters() {
    both(|c| {
        create(c, "");
        let alike = [
            ("Wie setze ich mein Passwort zurück?", "wie setze ich mein passwort zurück"),
            ("¿Cómo puedo restablecer mi contraseña?", "COMO PUEDO RESTABLECER MI CONTRASEÑA"),
            ("Как мне сбросить пароль?", "КАК МНЕ СБРОСИТЬ ПАРОЛЬ"),
            ("パスワードをリセットするにはどうすればよいですか？", "パスワードをリセットするにはどうすればよいですか"),
            ("كيف يمكنني إعادة تعيين كلمة المرور؟", "كيف يمكنني إعادة تعيين كلمة المرور"),
        ];
        for (prompt, _) in alike {
            store(c, prompt, prompt);
        }
        for (prompt, other) in alike {
            assert_eq!(get(c, other, ""), prompt, "{other}");
        }
        for other in [
            "Wie lösche ich mein Konto?",
            "¿Dónde está la biblioteca?",
            "Как мне удалить аккаунт?",
            "アカウントを削除するにはどうすればよいですか？",
            "كيف أحذف حسابي؟",
            "How do I reset my password?",
            "Comment réinitialiser mon mot de passe ?",
        ] {
            assert!(get(c, other, "").is_null(), "{other}: {:?}", meta(c, other, ""));
        }
    });
}

/// Prompts of which no two say the same, and how many of them there are.
fn questions(count: usize) -> Vec<String> {
    const VERBS: [&str; 10] =
        ["reset", "change", "find", "delete", "recover", "print", "share", "move", "copy", "lock"];
    const NOUNS: [&str; 20] = [
        "password", "invoice", "account", "order", "photo", "key", "phone", "car", "house", "garden", "song", "letter",
        "ticket", "table", "window", "recipe", "contract", "bicycle", "camera", "passport",
    ];
    const PLACES: [&str; 15] = [
        "office", "kitchen", "school", "library", "hospital", "airport", "hotel", "factory", "museum", "village",
        "theatre", "station", "market", "church", "harbour",
    ];
    let all = VERBS.iter().flat_map(|verb| {
        NOUNS
            .iter()
            .flat_map(move |noun| PLACES.iter().map(move |place| format!("How do I {verb} the {noun} of a {place}?")))
    });
    let all: Vec<_> = all.take(count).collect();
    assert_eq!(all.len(), count);
    all
}

/// Stores an answer to each of these, which is the question itself.
#[track_caller]
fn store_all(c: &mut Client, prompts: &[String]) {
    let commands: Vec<_> =
        prompts.iter().map(|prompt| args!["LLMCACHE.SET", "faq", prompt, prompt, "PERSIST"]).collect();
    c.pipeline(&commands).iter().for_each(Reply::ok);
}

#[test]
fn the_first_similar_call_makes_an_index_behind_the_reply() {
    let server = Server::start();
    let mut c = server.client();
    let prompts = questions(3000);
    store_all(&mut c, &prompts);
    let before = c.words("LLMCACHE.INFO faq");
    assert_eq!(*before.field("index").field("state"), "none");
    assert_eq!(*before.field("memory").field("index"), 0);
    get(&mut c, &prompts[2999].to_lowercase(), "SIMILAR");
    let building = c.words("LLMCACHE.INFO faq").field("index").clone();
    assert_ne!(*building.field("state"), "none");
    // What is stored meanwhile is found at once, and what was stored before by its own words.
    store(&mut c, "Who wrote Hamlet?", "Shakespeare");
    assert_eq!(get(&mut c, "who wrote hamlet", "SIMILAR"), "Shakespeare");
    assert_eq!(get(&mut c, &prompts[2999], "SIMILAR"), prompts[2999].as_str());
    assert_eq!(indexed(&mut c, "faq"), 3001);
    assert!(c.words("LLMCACHE.INFO faq").field("memory").field("index").int() > 3000 * 256);
    for prompt in &prompts {
        let other = prompt.to_uppercase();
        assert_eq!(get(&mut c, &other, "SIMILAR NOTOUCH"), prompt.as_str(), "{other}");
    }
    // And by the search itself, in which nothing is lost either.
    for prompt in prompts.iter().step_by(100) {
        let told = explain(&mut c, &format!("{prompt} Quickly"), "SIMILAR");
        let found =
            told.field("candidates").items().iter().any(|candidate| *candidate.field("prompt") == prompt.as_str());
        assert!(found, "{prompt} is not among {told:?}");
    }
}

#[test]
fn what_goes_is_found_no_more() {
    both(|c| {
        create(c, "MAXENTRIES 20");
        let mut dice = Dice::new("gone");
        let prompts = questions(60);
        for _ in 0..600 {
            let prompt = &prompts[dice.below(60) as usize];
            match dice.below(8) {
                0 => drop(cmd!(c, "LLMCACHE.INVALIDATE", "faq", "PROMPT", prompt)),
                1 => drop(cmd!(c, "LLMCACHE.SET", "faq", prompt, "r", "PXAT", 1)),
                2..=4 => cmd!(c, "LLMCACHE.SET", "faq", prompt, prompt, "PERSIST").ok(),
                _ => {
                    let there = !get(c, prompt, "EXACT NOTOUCH").is_null();
                    let found = get(c, &prompt.to_lowercase(), "");
                    assert_eq!(there, found == prompt.as_str(), "{prompt}: {found:?}");
                }
            }
            let info = c.words("LLMCACHE.INFO faq");
            assert_eq!(info.field("index").field("entries"), info.field("entries"));
        }
        assert!(stat(c, "evictions") > 0 && stat(c, "hits_similar") > 50);
    });
}
