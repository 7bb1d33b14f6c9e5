//! Similar questions by their words and letters: each metric is what it says it is, and the search always finds the best.

use crate::harness::{args, cmd, Client, Reply, Server};
use crate::support::{both, explain, get, indexed, meta, state, store, verdict, Dice};
use llmcache::core::similarity::lexical::{similarity, Metric};
use llmcache::core::similarity::text::Text;

/// What a metric says of two texts that are comparable already.
type Definition = fn(&str, &str) -> f64;

const DEFINED: [(&str, Definition); 4] = [
    ("idf", idf),
    ("dice", strsim::sorensen_dice),
    ("levenshtein", strsim::normalized_levenshtein),
    ("jaro_winkler", strsim::jaro_winkler),
];

const METRICS: [&str; 4] = ["idf", "dice", "levenshtein", "jaro_winkler"];

/// No library has this one: what it is in itself is tested below, what the core makes of it is looked for by the search.
fn idf(a: &str, b: &str) -> f64 {
    let read = |text: &str| Text::read(text.as_bytes()).unwrap();
    similarity(Metric::Idf, &read(a), &read(b))
}

/// A cache that compares words and letters by a metric, with the words of a line as the rest of its policy.
#[track_caller]
fn create(c: &mut Client, metric: &str, policy: &str) {
    c.words(&format!("LLMCACHE.CREATE faq MODE similar SIMILARITY lexical METRIC {metric} {policy}")).ok();
}

/// Lower-case words with a space between, in which nothing can be made more comparable.
fn words(dice: &mut Dice) -> String {
    const WORDS: [&str; 24] = [
        "garden", "gardens", "harden", "river", "driver", "bridge", "bridges", "ridge", "stone", "stones", "tone",
        "copper", "hopper", "window", "widow", "shadow", "meadow", "barrel", "barley", "ladder", "bladder", "silver",
        "sliver", "delivery",
    ];
    let count = 1 + dice.below(9);
    let words: Vec<_> = (0..count).map(|_| WORDS[dice.below(24) as usize]).collect();
    words.join(" ")
}

#[test]
fn a_similarity_is_what_it_is_defined_as_and_the_best_is_always_found() {
    let server = Server::start();
    let mut c = server.client3();
    let mut dice = Dice::new("metrics");
    for (metric, similarity) in DEFINED {
        create(&mut c, metric, "THRESHOLD 0 GUARDS off");
        let mut prompts: Vec<_> = (0..150).map(|_| words(&mut dice)).collect();
        prompts.sort();
        prompts.dedup();
        let commands: Vec<_> = prompts.iter().map(|p| args!["LLMCACHE.SET", "faq", p, p, "PERSIST"]).collect();
        c.pipeline(&commands).iter().for_each(Reply::ok);
        for _ in 0..25 {
            let query = words(&mut dice) + " xylophone";
            let mut best: Vec<_> = prompts.iter().map(|prompt| similarity(&query, prompt)).collect();
            best.sort_by(|a, b| b.total_cmp(a));
            let told = explain(&mut c, &query, "");
            let shown = told.field("candidates").items();
            assert_eq!(shown.len(), 5);
            for (candidate, best) in shown.iter().zip(&best) {
                let prompt = candidate.field("prompt").text();
                assert_eq!(candidate.field("similarity").number(), similarity(&query, &prompt), "{query} / {prompt}");
                assert_eq!(candidate.field("similarity").number(), *best, "{query}: {prompt} is not the next best");
            }
            let hit = meta(&mut c, &query, "");
            assert_eq!(hit.field("similarity").number(), best[0], "{query}");
            assert_eq!(hit.field("response"), hit.field("prompt"));
            // A threshold at the similarity itself lets it through, one above it does not.
            let (at, above) = (best[0], f64::from_bits(best[0].to_bits() + 1));
            assert!(!get(&mut c, &query, &format!("THRESHOLD {at}")).is_null(), "{query} {at}");
            assert!(get(&mut c, &query, &format!("THRESHOLD {above}")).is_null(), "{query} {above}");
        }
        c.words("DEL faq");
    }
}

#[test]
fn what_is_compared_is_the_normalised_text() {
    both(|c| {
        for (metric, similarity) in DEFINED {
            create(c, metric, "THRESHOLD 0.5 GUARDS off");
            store(c, "Please, how do I RESET   my password?!", "r");
            let told = meta(c, "hi, How do I reset my passport, please", "").field("similarity").number();
            assert_eq!(told, similarity("how do i reset my passport", "how do i reset my password"), "{metric}");
            let same = meta(c, "HOW do I reset my password", "THRESHOLD 1");
            assert_eq!((same.field("match").text().as_str(), same.field("similarity").number()), ("similar", 1.0));
            // Letters are counted as characters, of any script.
            c.words("LLMCACHE.ALTER faq THRESHOLD 0").ok();
            store(c, "Как мне сбросить пароль?", "r");
            let told = meta(c, "как мне сменить пароль", "").field("similarity").number();
            assert_eq!(told, similarity("как мне сменить пароль", "как мне сбросить пароль"), "{metric}");
            c.words("DEL faq");
        }
    });
}

#[test]
fn idf_is_the_cosine_of_stemmed_words_weighted_by_rarity() {
    both(|c| {
        create(c, "idf", "THRESHOLD 0 GUARDS off");
        let mut similarity = |prompt: &str, query: &str| {
            store(c, prompt, "r");
            let told = explain(c, query, "");
            let candidates = told.field("candidates").items();
            let found = candidates.iter().find(|candidate| *candidate.field("prompt") == prompt);
            let similarity = found.map_or(0.0, |candidate| candidate.field("similarity").number());
            c.words("LLMCACHE.INVALIDATE faq ALL");
            similarity
        };
        for (one, another) in [
            ("reset the password", "password the reset"),
            ("resetting passwords", "reset password"),
            ("delivery of copper pipes", "deliveries of copper pipe"),
        ] {
            let told = similarity(one, another);
            assert!((told - 1.0).abs() < 1e-9, "{one} / {another}: {told}");
        }
        assert_eq!(similarity("reset password", "bake bread"), 0.0);
        let (there, back) =
            (similarity("reset my router", "reset my phone"), similarity("reset my phone", "reset my router"));
        assert!((there - back).abs() < 1e-6 && there > 0.05 && there < 0.95, "{there} {back}");
        // A rare word says more than a common one.
        let query = "tell about photosynthesis";
        let (rare, common) = (similarity("know photosynthesis", query), similarity("know about", query));
        assert!(rare > common + 0.1, "{rare} {common}");
    });
}

#[test]
fn each_metric_has_a_threshold_of_its_own() {
    both(|c| {
        for metric in METRICS {
            create(c, metric, "");
            let info = c.words("LLMCACHE.INFO faq");
            assert_eq!([info.field("similarity").text(), info.field("metric").text()], ["lexical", metric]);
            let threshold = info.field("threshold").number();
            assert!((0.5..1.0).contains(&threshold), "{metric}: {threshold}");
            store(c, "How do I reset my password?", "r");
            for query in ["how do I reset my password please", "HOW DO I RESET MY PASSWORD"] {
                assert_eq!(get(c, query, ""), "r", "{metric}");
            }
            let told = explain(c, "Why is the sky blue over the sea?", "");
            assert_eq!(*told.field("reason"), "below_threshold", "{metric}");
            assert_eq!(told.field("threshold").number(), threshold, "{metric}");
            c.words("LLMCACHE.ALTER faq THRESHOLD 0.25").ok();
            assert_eq!(c.words("LLMCACHE.INFO faq").field("threshold").number(), 0.25);
            c.words("DEL faq");
        }
    });
}

#[test]
fn a_metric_and_a_dim_belong_to_their_kinds() {
    both(|c| {
        create(c, "dice", "");
        store(c, "How do I reset my password?", "r");
        let before = state(c);
        for (line, error) in [
            ("ALTER faq METRIC soundex", "METRIC must be one of idf, dice, levenshtein, jaro_winkler, got 'soundex'"),
            ("ALTER faq DIM 3", "DIM belongs to SIMILARITY vector, this is a cache of SIMILARITY lexical"),
            (
                "ALTER faq SIMILARITY builtin METRIC idf",
                "METRIC belongs to SIMILARITY lexical, this is a cache of SIMILARITY builtin",
            ),
            (
                "ALTER faq SIMILARITY vector METRIC idf",
                "METRIC belongs to SIMILARITY lexical, this is a cache of SIMILARITY vector",
            ),
            ("CREATE other METRIC idf", "METRIC belongs to SIMILARITY lexical, this is a cache of SIMILARITY builtin"),
            ("CREATE other DIM 3", "DIM belongs to SIMILARITY vector, this is a cache of SIMILARITY builtin"),
            (
                "CREATE other SIMILARITY lexical DIM 3",
                "DIM belongs to SIMILARITY vector, this is a cache of SIMILARITY lexical",
            ),
            ("SET faq p r VALUES 1 1", "a vector needs a cache of SIMILARITY vector, this one has SIMILARITY lexical"),
            ("GET faq p VALUES 1 1", "a vector needs a cache of SIMILARITY vector, this one has SIMILARITY lexical"),
        ] {
            assert_eq!(c.words(&format!("LLMCACHE.{line}")).error(), format!("ERR {error}"), "{line}");
        }
        assert_eq!(state(c), before);
        assert_eq!(c.words("DBSIZE"), 1);
        c.words("LLMCACHE.ALTER faq METRIC JARO_winkler").ok();
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("metric"), "jaro_winkler");
    });
}

#[test]
fn every_language_is_compared() {
    both(|c| {
        for metric in METRICS {
            create(c, metric, "");
            let alike = [
                ("Wie setze ich mein Passwort zurück?", "WIE SETZE ICH MEIN PASSWORT ZURÜCK"),
                ("Как мне сбросить пароль?", "как мне сбросить пароль"),
                ("パスワードをリセットするには？", "パスワードをリセットするには"),
            ];
            for (prompt, _) in alike {
                store(c, prompt, prompt);
            }
            for (prompt, other) in alike {
                assert_eq!(get(c, other, ""), prompt, "{metric}");
            }
            assert_eq!(verdict(c, "Wo ist die Bibliothek?", ""), "miss below_threshold", "{metric}");
            assert_eq!(indexed(c, "faq"), 3);
            cmd!(c, "DEL", "faq");
        }
    });
}
