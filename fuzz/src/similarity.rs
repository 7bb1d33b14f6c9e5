//! Two prompts with a byte 0 between: text, words, pieces, vectors, metrics, slips and guards, and a cache of the one that
//! is asked for the other. Nothing takes long.

use super::support::{store, Ask, Rng, START};
use super::Target;
use llmcache::core::cache::{Cache, Found, Terms};
use llmcache::core::matching::{Look, Wanted, ASKED_FOR};
use llmcache::core::policy::{Mode, Policy};
use llmcache::core::similarity::lexical::{self, Metric};
use llmcache::core::similarity::text::{Text, MAX_PROMPT};
use llmcache::core::similarity::{builtin, guards, spelling, typo, Kind};
use llmcache::core::time::UnixMs;
use std::time::{Duration, Instant};

pub const TARGET: Target = Target {
    name: "similarity",
    run,
    corpus,
    words: &[
        " not ",
        "n't ",
        " without ",
        " 5 ",
        " 2,000.5 ",
        "2024-01-02",
        " km/h ",
        " $5 ",
        " Paris",
        " Python 3.11",
        "\"x\"",
        "'",
        "\u{201c}",
        "\u{2019}s ",
        "please ",
        "could you tell me ",
        " from A to B ",
        " vs. ",
        "\u{301}",
        "\u{200d}",
        "\u{fb01}",
        "\u{130}",
        "\u{df}",
        "\u{1e9e}",
        "日本語",
        "\u{1f468}\u{200d}\u{1f469}",
        "\u{202e}",
        "\u{feff}",
        "twenty-one ",
        " half ",
        " first ",
        " increase ",
        " decrease ",
        " before ",
        " after ",
        "?",
        "...",
        "--force",
        "C++",
        "a\u{300}",
        "\r\n",
        "\t",
        "½",
        "²",
        "Ⅻ",
        "İ",
    ],
};

/// Generous: a busy machine, a build for debugging, and prompts of 2 KiB. cargo-fuzz has a stricter one of its own.
const PATIENCE: Duration = Duration::from_secs(60);

const METRICS: [Metric; 4] = [Metric::Idf, Metric::Dice, Metric::Levenshtein, Metric::JaroWinkler];

/// Whether both can be compared.
pub fn run(data: &[u8]) -> bool {
    let started = Instant::now();
    let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len() / 2);
    let (one, other) = (&data[..cut], data.get(cut + 1..).unwrap_or_default());
    let texts = [one, other].map(Text::read);
    for (text, prompt) in texts.iter().zip([one, other]) {
        assert!(text.is_none() || prompt.len() <= MAX_PROMPT);
        text.iter().for_each(alone);
    }
    if let [Some(a), Some(b)] = &texts {
        together(a, b);
    }
    look(one, other, &texts);
    let took = started.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    texts.iter().all(Option::is_some)
}

fn alone(text: &Text) {
    let spelt = text.words.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" ");
    assert_eq!(spelt, text.normal);
    assert!(spelling::readings(text).len() <= 64);
    if let Some(vector) = builtin::encode(text) {
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-3, "{length}");
    }
    for metric in METRICS {
        let same = lexical::similarity(metric, text, text);
        assert!((same - 1.0).abs() < 1e-9, "{metric:?} of a prompt and itself is {same}: {:?}", text.normal);
    }
    for kind in [Kind::Builtin, Kind::Lexical, Kind::Vector] {
        assert_eq!(guards::first(text, text, kind), None, "{:?}", text.normal);
    }
}

fn together(a: &Text, b: &Text) {
    let place = || format!("{:?} and {:?}", a.normal, b.normal);
    for metric in METRICS {
        let (there, back) = (lexical::similarity(metric, a, b), lexical::similarity(metric, b, a));
        assert!((0.0..=1.0 + 1e-9).contains(&there), "{metric:?} {there} {}", place());
        assert!((there - back).abs() < 1e-9, "{metric:?} {there} {back} {}", place());
        let mut terms = lexical::Terms::new(metric);
        terms.insert(3, 7, a);
        terms.validate().unwrap_or_else(|why| panic!("{why} {}", place()));
        let best = terms.snapshot(b).best(0.01, 1).first().map(|hit| (hit.slot, hit.stamp, hit.similarity));
        match best {
            Some(hit) => assert!(hit.0 == 3 && hit.1 == 7 && (hit.2 - back).abs() < 1e-6, "{metric:?} {hit:?} {back}"),
            None => assert!(back < 0.01 + 1e-9, "{metric:?} did not find {back} {}", place()),
        }
        assert!(terms.take(3) && terms.is_empty());
        terms.validate().unwrap_or_else(|why| panic!("{why} {}", place()));
    }
    if let (Some(one), Some(other)) = (builtin::encode(a), builtin::encode(b)) {
        let cosine: f32 = one.iter().zip(&other).map(|(x, y)| x * y).sum();
        let score = builtin::pair::score(a, b, cosine);
        assert!((-1.001..=1.001).contains(&score), "{score} {}", place());
        assert!(builtin::pair::features(a, b, cosine).iter().all(|feature| feature.is_finite()), "{}", place());
    }
    for (query, entry) in [(a, b), (b, a)] {
        let slip = typo::similarity(query, entry);
        assert!(slip.is_none_or(|slip| (0.0..=1.0).contains(&slip)), "{slip:?} {}", place());
        for kind in [Kind::Builtin, Kind::Lexical, Kind::Vector] {
            let first = guards::first(query, entry, kind);
            let all = guards::all(query, entry, kind).into_iter().find(|(_, struck)| struck.is_some());
            let all = all.filter(|_| a.normal != b.normal).map(|(guard, reason)| (guard, reason.unwrap_or_default()));
            assert_eq!(first.map(|strike| (strike.guard, strike.reason)), all, "{}", place());
        }
    }
}

/// A cache that holds an answer to the one prompt, asked for the other.
fn look(one: &[u8], other: &[u8], texts: &[Option<Text>; 2]) {
    let methods = METRICS.map(|metric| (Kind::Lexical, metric)).into_iter().chain([(Kind::Builtin, Metric::Idf)]);
    for (similarity, metric) in methods {
        let policy = Policy { mode: Mode::Similar, similarity, metric, threshold: Some(0.3), ..Policy::default() };
        let mut cache = Cache::with_policy(policy);
        let (held, asked) = (Ask::plain(one), Ask::plain(other));
        store(&mut cache, &held.answer(b"an answer"), UnixMs(START));
        let terms = Terms::default();
        let mut wanted = Wanted::exactly(asked.identity(), &terms, UnixMs(START));
        wanted.comparable = true;
        let found = match cache.look(&wanted).expect("no vectors") {
            Look::Found(found) => found,
            Look::Search(asking) => {
                let hits = asking.run(asking.floor(), ASKED_FOR);
                cache.settle(&asking, &hits, &wanted)
            }
        };
        let is_similar = matches!(found, Found::Similar { .. });
        assert!(!is_similar || texts.iter().all(Option::is_some), "{found:?}");
        assert_eq!(matches!(found, Found::Exact(..)), one == other, "{found:?}");
        if let [Some(a), Some(b)] = texts {
            assert!(!is_similar || guards::first(b, a, similarity).is_none(), "{found:?}");
        }
        cache.validate().unwrap_or_else(|why| panic!("{why}"));
    }
}

fn corpus(rng: &mut Rng) -> Vec<Vec<u8>> {
    let pairs = [
        ("How do I reset my router password?", "how can i reset the password of my router"),
        ("What is the capital of France?", "What is the capital of Germany?"),
        ("Convert 5 km to miles", "convert 5.0 kilometres to miles please"),
        ("Can I eat before surgery?", "Can I not eat before surgery?"),
        ("what does \"teh\" mean", "what does 'the' mean"),
        ("Fly from Paris to Rome on 2024-01-02", "Fly from Rome to Paris on January 2nd, 2024"),
        ("git push --force origin main", "git push origin main"),
        ("Explain Pythn decorators", "Could you please explain Python decorators?"),
        ("Привет, как дела?", "日本の首都はどこですか"),
        ("naïve café — ½ ﬁle", "naive cafe - 1/2 file"),
        ("x", "X!"),
    ];
    let mut all: Vec<_> = pairs.iter().map(|(a, b)| format!("{a}\0{b}").into_bytes()).collect();
    for words in [30, 64, 65, 200] {
        let prompt = |rng: &mut Rng| {
            let mut text: Vec<_> = (0..words)
                .flat_map(|_| rng.pick(&pairs).0.split(' ').next().unwrap_or("a").bytes().chain(*b" "))
                .collect();
            text.extend(rng.text(30));
            text
        };
        all.push([prompt(rng), prompt(rng)].join(&0));
    }
    all.push(["a".repeat(MAX_PROMPT), "'".repeat(MAX_PROMPT)].join("\0").into_bytes());
    all
}
