//! Similar questions by the vectors that clients send: their cosine, their size, and what is no vector.

use crate::harness::{args, cmd, Client, Reply};
use crate::support::{both, explain, fp32, get, id_of, indexed, meta, set, stat, state, store, verdict, Dice};

/// A cache of clients' vectors, with the words of a line as the rest of its policy.
#[track_caller]
fn create(c: &mut Client, policy: &str) {
    c.words(&format!("LLMCACHE.CREATE faq MODE similar SIMILARITY vector {policy}")).ok();
}

/// Stores an answer, which is the prompt itself, with a vector.
#[track_caller]
fn put(c: &mut Client, prompt: &str, vector: &[f32]) {
    cmd!(c, "LLMCACHE.SET", "faq", prompt, prompt, "FP32", fp32(vector), "PERSIST").ok();
}

/// What a lookup with a vector tells, without leaving a trace.
#[track_caller]
fn near(c: &mut Client, vector: &[f32], options: &str) -> Reply {
    let mut words = args!["LLMCACHE.GET", "faq", "a question of its own", "FP32", fp32(vector), "WITHMETA", "NOTOUCH"];
    words.extend(options.split_whitespace().map(|word| word.as_bytes().to_vec()));
    c.cmd(&words)
}

/// The prompt that a lookup with a vector finds, and how similar it is.
#[track_caller]
fn nearest(c: &mut Client, vector: &[f32]) -> Option<(String, f64)> {
    let told = near(c, vector, "");
    (!told.is_null()).then(|| (told.field("prompt").text(), told.field("similarity").number()))
}

/// `VALUES count number…` as words of a line.
fn values(vector: &[f32]) -> String {
    let numbers: Vec<_> = vector.iter().map(f32::to_string).collect();
    format!("VALUES {} {}", vector.len(), numbers.join(" "))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Numbers from -1 to 1.
fn vector(dice: &mut Dice, dim: usize) -> Vec<f32> {
    let mut vector: Vec<_> = (0..dim).map(|_| dice.below(2001) as f32 / 1000.0 - 1.0).collect();
    vector[0] += 0.0005;
    vector
}

#[test]
fn a_blob_and_numbers_say_the_same() {
    both(|c| {
        let one = [0.1f32, -2.5, 3e-5, 1234.5];
        let another = [0.11f32, -2.4, 0.5, 1230.0];
        create(c, "GUARDS off THRESHOLD 0.5");
        for store_blob in [true, false] {
            if store_blob {
                put(c, "entry", &one);
            } else {
                set(c, "entry", "entry", &format!("{} PERSIST", values(&one))).ok();
            }
            for query in [one, another] {
                let by_blob = near(c, &query, "");
                let by_numbers = get(c, "a question of its own", &format!("{} WITHMETA NOTOUCH", values(&query)));
                assert_eq!(by_blob.field("similarity"), by_numbers.field("similarity"));
                assert_eq!(*by_numbers.field("response"), "entry");
            }
            assert_eq!(near(c, &one, "").field("similarity").number(), 1.0);
            c.words("LLMCACHE.INVALIDATE faq ALL");
        }
    });
}

#[test]
fn similarity_is_the_raw_cosine() {
    both(|c| {
        let mut dice = Dice::new("cosine");
        for dim in [1, 2, 3, 15, 16, 17, 63, 100, 384, 1537] {
            create(c, "GUARDS off THRESHOLD 0");
            let stored: Vec<_> = (0..20).map(|_| vector(&mut dice, dim)).collect();
            for (i, vector) in stored.iter().enumerate() {
                put(c, &i.to_string(), vector);
            }
            for i in 0..10 {
                // Near a stored one, and far from all.
                let noise = vector(&mut dice, dim);
                let query: Vec<_> = match i % 2 {
                    0 => noise,
                    _ => stored[i].iter().zip(&noise).map(|(value, noise)| value + noise * 0.3).collect(),
                };
                let best = stored.iter().map(|stored| cosine(&query, stored)).fold(-1.0, f64::max);
                match nearest(c, &query) {
                    Some((prompt, told)) => {
                        let own = cosine(&query, &stored[prompt.parse::<usize>().unwrap()]);
                        assert!((told - own).abs() < 1e-4, "{dim}: {told}, and it is {own}");
                        assert!((own - best).abs() < 1e-4, "{dim}: {prompt} has {own}, the best {best}");
                        assert_eq!((told * 10_000.0).round() / 10_000.0, told, "four places");
                    }
                    None => assert!(best < 1e-4, "{dim}: {best}"),
                }
                // Only the direction counts.
                let longer: Vec<_> = query.iter().map(|value| value * 1024.0).collect();
                assert_eq!(nearest(c, &longer), nearest(c, &query));
            }
            c.words("DEL faq");
        }
    });
}

#[test]
fn a_threshold_is_met_at_the_cosine_itself() {
    both(|c| {
        create(c, "GUARDS off THRESHOLD 0.3");
        put(c, "entry", &[5.0, 0.0]);
        for (query, cosine) in [([3.0, 4.0], 0.6), ([4.0, 3.0], 0.8), ([24.0, 7.0], 0.96), ([8.0, 15.0], 0.4706)] {
            assert_eq!(nearest(c, &query), Some(("entry".into(), cosine)));
            assert!(!near(c, &query, &format!("THRESHOLD {cosine}")).is_null(), "{cosine}");
            assert!(near(c, &query, &format!("THRESHOLD {}", cosine + 0.0001)).is_null(), "{cosine}");
            c.words(&format!("LLMCACHE.ALTER faq THRESHOLD {cosine}")).ok();
            assert!(!near(c, &query, "").is_null(), "{cosine}");
            c.words(&format!("LLMCACHE.ALTER faq THRESHOLD {}", cosine + 0.0001)).ok();
            assert!(near(c, &query, "").is_null(), "{cosine}");
            c.words("LLMCACHE.ALTER faq THRESHOLD 0.3").ok();
        }
        assert!(near(c, &[3.0, 4.0], "THRESHOLD 0.7").is_null());
        assert!(near(c, &[1.0, 5.0], "THRESHOLD 0.1").is_null(), "a call cannot ask for less");
    });
}

#[test]
fn a_negative_cosine_is_never_similar() {
    both(|c| {
        create(c, "GUARDS off THRESHOLD 0");
        put(c, "entry", &[1.0, 0.0, 0.0]);
        assert_eq!(nearest(c, &[0.0, 1.0, 0.0]), Some(("entry".into(), 0.0)), "0 is as similar as 0 asks for");
        for query in [[-1.0f32, 0.0, 0.0], [-0.01, 1.0, 0.0], [-5.0, 1.0, -7.0]] {
            assert_eq!(nearest(c, &query), None, "{query:?}");
            let told = cmd!(c, "LLMCACHE.EXPLAIN", "faq", "q", "FP32", fp32(&query));
            assert_eq!(*told.field("reason"), "below_threshold");
            let candidate = told.field("candidates").at(0);
            let shown = candidate.field("similarity").number();
            assert!((shown - cosine(&query, &[1.0, 0.0, 0.0])).abs() < 1e-4, "candidates are shown whatever they are");
        }
    });
}

#[test]
fn what_is_no_vector_is_an_error_and_changes_nothing() {
    both(|c| {
        create(c, "");
        store(c, "p", "r");
        let before = state(c);
        let nan = fp32(&[f32::NAN, 1.0]);
        let sizes = "ERR FP32 must be 1 to 8192 little-endian numbers of 4 bytes each, got";
        let infinite = |name: &str| format!("ERR {name} may hold no infinite number and none that is no number");
        let zero = |name: &str| format!("ERR {name} may not be zero in every dimension: it has no direction then");
        let numbers = "ERR VALUES must be numbers, got";
        let count = "ERR VALUES must be a whole number from 1 to 8192, got";
        for (blob, error) in [
            (vec![], format!("{sizes} 0 bytes")),
            (vec![0; 7], format!("{sizes} 7 bytes")),
            (vec![1; 4 * 8193], format!("{sizes} 32772 bytes")),
            (nan, infinite("FP32")),
            (fp32(&[1.0, f32::INFINITY]), infinite("FP32")),
            (fp32(&[f32::NEG_INFINITY]), infinite("FP32")),
            (fp32(&[0.0, -0.0, 0.0]), zero("FP32")),
        ] {
            assert_eq!(cmd!(c, "LLMCACHE.SET", "faq", "p", "new", "FP32", blob).error(), error);
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "p", "FP32", blob).error(), error);
            assert_eq!(cmd!(c, "LLMCACHE.EXPLAIN", "faq", "p", "FP32", blob).error(), error);
        }
        for (words, error) in [
            ("VALUES", "ERR VALUES needs a value".to_owned()),
            ("VALUES 0", format!("{count} '0'")),
            ("VALUES 8193", format!("{count} '8193'")),
            ("VALUES -1 1", format!("{count} '-1'")),
            ("VALUES 3 1 2", "ERR VALUES needs 3 numbers after their count, got 2".into()),
            ("VALUES 2 1 x", format!("{numbers} 'x'")),
            ("VALUES 2 1 0x10", format!("{numbers} '0x10'")),
            ("VALUES 2 nan 1", infinite("VALUES")),
            ("VALUES 2 1 -inf", infinite("VALUES")),
            ("VALUES 2 1e39 1", infinite("VALUES")),
            ("VALUES 2 0 -0", zero("VALUES")),
            ("VALUES 1 1 VALUES 1 1", "ERR VALUES may be given only once".into()),
            ("VALUES 1 1 FP32 1234", "ERR VALUES and FP32 exclude each other, give one of them".into()),
            ("FP32", "ERR FP32 needs a value".into()),
        ] {
            assert_eq!(set(c, "p", "new", words).error(), error);
            assert_eq!(get(c, "p", words).error(), error);
            assert_eq!(explain(c, "p", words).error(), error);
        }
        // Too many: what is left over is no option.
        assert!(set(c, "p", "new", "VALUES 2 1 2 3").error().starts_with("ERR unknown option '3'"));
        assert_eq!(state(c), before);
        assert!(c.words("LLMCACHE.INFO faq").field("dim").is_null());
    });
}

#[test]
fn the_first_vector_says_how_many_numbers_there_are() {
    both(|c| {
        let dim = |c: &mut Client| match c.words("LLMCACHE.INFO faq").field("dim") {
            Reply::Null => 0,
            dim => dim.int(),
        };
        create(c, "");
        assert_eq!(dim(c), 0);
        // What stores nothing fixes nothing.
        for options in ["XX", "STRATEGY nocache", "PXAT 1"] {
            assert!(set(c, "p", "r", &format!("VALUES 2 1 1 {options}")).is_null(), "{options}");
        }
        get(c, "p", "VALUES 5 1 2 3 4 5");
        set(c, "no vector", "r", "").ok();
        assert_eq!(dim(c), 0);
        put(c, "p", &[1.0, 2.0, 3.0]);
        assert_eq!(dim(c), 3);
        let before = state(c);
        for (words, got) in [("VALUES 2 1 1", 2), ("VALUES 4 1 1 1 1", 4), ("FP32 abcd", 1)] {
            let error = format!("ERR the vector must have 3 numbers as DIM says, got {got}");
            assert_eq!(set(c, "q", "r", words).error(), error);
            assert_eq!(set(c, "p", "r", words).error(), error);
            assert_eq!(get(c, "p", words).error(), error);
            assert_eq!(get(c, "p", &format!("{words} EXACT")).error(), error);
            assert_eq!(explain(c, "p", words).error(), error);
        }
        let refused = c.words("LLMCACHE.ALTER faq DIM 4").error().to_owned();
        assert_eq!(refused, "ERR DIM is 3 by the vectors that are stored, and cannot become 4 while they are");
        assert_eq!(state(c), before);
        c.words("LLMCACHE.ALTER faq DIM 3").ok();
        // Without vectors it can be changed, and stays until then.
        c.words("LLMCACHE.INVALIDATE faq ALL");
        assert!(set(c, "p", "r", "VALUES 2 1 1").is_error());
        c.words("LLMCACHE.ALTER faq DIM 2").ok();
        set(c, "p", "r", "VALUES 2 1 1").ok();
        assert_eq!(dim(c), 2);
        c.words("DEL faq");
        create(c, "DIM 3");
        assert_eq!(dim(c), 3);
        assert!(set(c, "p", "r", "VALUES 2 1 1").is_error());
        assert_eq!(c.words("LLMCACHE.INFO faq").field("entries").int(), 0);
        for wrong in ["DIM 0", "DIM 8193", "DIM 2.5", "DIM many"] {
            let error = format!("ERR DIM must be a whole number from 1 to 8192, got '{}'", &wrong[4..]);
            assert_eq!(c.words(&format!("LLMCACHE.ALTER faq {wrong}")).error(), error);
        }
        assert_eq!(dim(c), 3);
    });
}

#[test]
fn vectors_have_up_to_8192_numbers() {
    both(|c| {
        create(c, "GUARDS off");
        let mut dice = Dice::new("8192");
        let long = vector(&mut dice, 8192);
        let other = vector(&mut dice, 8192);
        put(c, "long", &long);
        put(c, "other", &other);
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("dim"), 8192);
        assert_eq!(nearest(c, &long), Some(("long".into(), 1.0)));
        let between: Vec<_> = long.iter().zip(&other).map(|(a, b)| a + b * 0.1).collect();
        let (prompt, told) = nearest(c, &between).unwrap();
        assert!(prompt == "long" && (told - cosine(&long, &between)).abs() < 1e-4, "{prompt} {told}");
    });
}

#[test]
fn without_a_vector_an_entry_is_found_by_its_own_words_only() {
    both(|c| {
        create(c, "GUARDS off THRESHOLD 0");
        store(c, "What is Redis?", "r");
        assert_eq!(get(c, "What is Redis?", ""), "r");
        assert_eq!(get(c, "What is Redis?", "VALUES 2 1 1"), "r", "the very same question comes first");
        assert!(get(c, "what is redis", "VALUES 2 1 1").is_null());
        assert_eq!(verdict(c, "what is redis", "VALUES 2 1 1"), "miss absent");
        assert_eq!(indexed(c, "faq"), 0);
        put(c, "What is Redis?", &[1.0, 1.0]);
        assert_eq!(get(c, "anything", "VALUES 2 1 1"), "What is Redis?");
        assert_eq!(indexed(c, "faq"), 1);
        // Another vector, or none: the one before is gone.
        put(c, "What is Redis?", &[1.0, -1.0]);
        assert_eq!(nearest(c, &[1.0, -1.0]), Some(("What is Redis?".into(), 1.0)));
        store(c, "What is Redis?", "r");
        assert!(get(c, "anything", "VALUES 2 1 -1").is_null());
        assert_eq!(indexed(c, "faq"), 0);
    });
}

#[test]
fn a_lookup_without_a_vector_is_exact_and_may_not_ask_for_similar() {
    both(|c| {
        create(c, "");
        put(c, "What is Redis?", &[1.0, 1.0]);
        assert_eq!(get(c, "What is Redis?", ""), "What is Redis?");
        assert!(get(c, "what is redis", "").is_null());
        assert_eq!(verdict(c, "what is redis", ""), "miss absent");
        let before = state(c);
        for prompt in ["What is Redis?", "what is redis"] {
            let error = "ERR SIMILAR needs FP32 or VALUES in a cache of SIMILARITY vector";
            assert_eq!(get(c, prompt, "SIMILAR").error(), error);
            assert_eq!(explain(c, prompt, "SIMILAR").error(), error);
        }
        assert_eq!(state(c), before);
        assert_eq!(get(c, "What is Redis?", "EXACT VALUES 2 1 1"), "What is Redis?");
        assert!(get(c, "what is redis", "EXACT VALUES 2 1 1").is_null());
        c.words("LLMCACHE.ALTER faq MODE exact").ok();
        assert!(get(c, "what is redis", "VALUES 2 1 1").is_null());
        assert_eq!(get(c, "what is redis", "VALUES 2 1 1 SIMILAR"), "What is Redis?");
    });
}

#[test]
fn vectors_belong_to_caches_of_vectors() {
    both(|c| {
        for similarity in ["builtin", "lexical"] {
            c.words(&format!("LLMCACHE.CREATE faq MODE similar SIMILARITY {similarity}")).ok();
            store(c, "p", "r");
            let before = state(c);
            let error =
                format!("ERR a vector needs a cache of SIMILARITY vector, this one has SIMILARITY {similarity}");
            for options in ["VALUES 2 1 1", "FP32 12345678", "VALUES 2 1 1 EXACT"] {
                assert_eq!(get(c, "p", options).error(), error);
                assert_eq!(explain(c, "p", options).error(), error);
            }
            assert_eq!(set(c, "p", "new", "VALUES 2 1 1").error(), error);
            assert_eq!(set(c, "q", "new", "FP32 12345678 XX").error(), error);
            assert_eq!(state(c), before);
            c.words("DEL faq");
        }
        // One that is made by its first SET has the defaults.
        assert!(set(c, "p", "r", "VALUES 2 1 1").is_error());
        assert_eq!(c.words("EXISTS faq"), 0);
        assert!(get(c, "p", "VALUES 2 1 1").is_null());
    });
}

#[test]
fn vectors_are_lost_with_their_kind_and_entries_are_not() {
    both(|c| {
        create(c, "GUARDS off");
        put(c, "What is Redis?", &[1.0, 1.0]);
        c.words("LLMCACHE.ALTER faq SIMILARITY lexical").ok();
        assert_eq!(get(c, "what is redis", ""), "What is Redis?");
        assert_eq!(indexed(c, "faq"), 1);
        c.words("LLMCACHE.ALTER faq SIMILARITY vector").ok();
        assert_eq!(indexed(c, "faq"), 0);
        assert_eq!(get(c, "What is Redis?", ""), "What is Redis?");
        c.words("LLMCACHE.ALTER faq DIM 5").ok();
        put(c, "What is Redis?", &[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(nearest(c, &[1.0, 2.0, 3.0, 4.0, 5.0]), Some(("What is Redis?".into(), 1.0)));
        // The mode is no kind: vectors stay.
        for mode in ["exact", "similar"] {
            c.words(&format!("LLMCACHE.ALTER faq MODE {mode} SIMILARITY vector")).ok();
            assert_eq!(near(c, &[1.0, 2.0, 3.0, 4.0, 5.0], "SIMILAR").field("similarity").number(), 1.0, "{mode}");
        }
    });
}

#[test]
fn guards_look_at_the_prompts_behind_the_vectors() {
    both(|c| {
        create(c, "");
        put(c, "How do I convert 5 kilograms to pounds?", &[1.0, 2.0]);
        assert!(get(c, "How do I convert 7 kilograms to pounds?", "VALUES 2 1 2").is_null());
        assert_eq!(verdict(c, "How do I convert 7 kilograms to pounds?", "VALUES 2 1 2"), "miss guard:numbers");
        let id = id_of(c, "How do I convert 5 kilograms to pounds?");
        assert_eq!(meta(c, "Five kilograms, how many pounds?", "VALUES 2 1 2").field("id").text(), id);
        c.words("LLMCACHE.INVALIDATE faq ALL");
        // Where there is nothing to read, none can tell.
        let long = "What is Redis good for? ".repeat(100);
        for (prompt, query) in [
            (long.as_bytes(), &b"What is Redis?"[..]),
            (b"What is Redis?", long.as_bytes()),
            (b"\xff\xfe", b"What is Redis?"),
            (b"What is Redis?", b"\xff\xfe"),
        ] {
            cmd!(c, "LLMCACHE.SET", "faq", prompt, "r", "VALUES", 2, 1, 2).ok();
            let stopped = stat(c, "miss_guard");
            assert!(cmd!(c, "LLMCACHE.GET", "faq", query, "VALUES", 2, 1, 2).is_null());
            assert_eq!(stat(c, "miss_guard"), stopped + 1);
            let told = cmd!(c, "LLMCACHE.EXPLAIN", "faq", query, "VALUES", 2, 1, 2);
            assert_eq!(*told.field("reason"), "guard:unread");
            assert_ne!(*told.field("candidates").at(0).field("guards").field("unread"), "pass");
            c.words("LLMCACHE.ALTER faq GUARDS off").ok();
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", query, "VALUES", 2, 1, 2), "r");
            c.words("LLMCACHE.ALTER faq GUARDS on").ok();
            c.words("LLMCACHE.INVALIDATE faq ALL");
        }
    });
}

#[test]
fn the_dead_hide_nobody() {
    both(|c| {
        create(c, "GUARDS off THRESHOLD 0.5");
        for i in 0..40 {
            set(c, &format!("short {i}"), "r", "VALUES 2 1 0 PX 1").ok();
        }
        put(c, "alive", &[1.0, 0.5]);
        crate::support::pass(3);
        assert_eq!(nearest(c, &[1.0, 0.0]).unwrap().0, "alive");
    });
}
