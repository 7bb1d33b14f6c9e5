//! A moment of each fuzz target with every `make test`, on stable Rust and without cargo-fuzz. `make fuzz` goes on for
//! longer, see fuzz/.
//!
//! `LLMCACHE_SEED=n cargo test --no-default-features --test core_fuzz` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail by panicking

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::support::{with_seeds, Rng};
use fuzz::{mutate, Target, TARGETS};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs a target on its corpus and on so many changed inputs for each seed. Of these a part in percent is good, or the target
/// looks at nothing but errors, or at nothing but what it knows.
fn smoke(target: &Target, rounds: u64, good: std::ops::Range<u64>) {
    let mut taken = 0;
    let mut tried = 0;
    with_seeds(1..=3, |seed, mut rng| {
        let corpus = (target.corpus)(&mut rng);
        for (number, input) in corpus.iter().enumerate() {
            run(target, input, &format!("LLMCACHE_SEED={seed}, corpus {number}"));
        }
        for round in 0..rounds {
            let mut input = rng.pick(&corpus).clone();
            for _ in 0..=rng.below(2) {
                let other = rng.pick(&corpus).clone();
                mutate(&mut input, &other, target.words, &mut rng);
            }
            tried += 1;
            taken += u64::from(run(target, &input, &format!("LLMCACHE_SEED={seed}, round {round}")));
        }
    });
    let percent = taken * 100 / tried;
    println!("{}: {percent} % of {tried} were good", target.name);
    assert!(good.contains(&percent) || std::env::var("LLMCACHE_SEED").is_ok(), "{percent} % of {tried} were good");
}

fn run(target: &Target, input: &[u8], place: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input)))
        .unwrap_or_else(|_| panic!("{}, {place}: b\"{}\"", target.name, input.escape_ascii()))
}

macro_rules! smokes {
    ($($name:ident $rounds:literal $good:expr;)*) => {
        $(#[test]
        fn $name() {
            smoke(&fuzz::$name::TARGET, $rounds, $good);
        })*

        #[test]
        fn no_target_is_left_out() {
            let names = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|target| target.name), names);
            for name in names {
                let file = format!("{}/fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
                assert!(std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&format!("{name}::run"))), "{file}");
            }
        }
    };
}

smokes! {
    syntax 4000 10..90;
    request 3000 10..90;
    wire 100 10..90;
    similarity 50 20..99;
    cache 15 90..101;
    glob 600 10..90;
}

#[test]
fn a_well_formed_command_is_read() {
    let corpus = (fuzz::syntax::TARGET.corpus)(&mut Rng::new(1));
    let mut read = std::collections::BTreeMap::new();
    for input in corpus {
        *read.entry(input[0]).or_insert(0) += u32::from((fuzz::syntax::TARGET.run)(&input));
    }
    let commands = llmcache::syntax::table::COMMANDS;
    let never: Vec<_> = read.iter().filter(|(_, n)| **n == 0).map(|(at, _)| commands[usize::from(*at)].name).collect();
    assert!(read.len() == commands.len() && never.is_empty(), "never read: {never:?}");
}

/// Not a test: what `make fuzz` begins with goes to the folder that `LLMCACHE_CORPUS` names.
#[test]
#[ignore = "writes files"]
fn write_corpus() {
    let folder = std::path::PathBuf::from(std::env::var("LLMCACHE_CORPUS").expect("LLMCACHE_CORPUS is a folder"));
    for target in &TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, input) in (target.corpus)(&mut Rng::new(1)).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), input).unwrap();
        }
        let words: String = target
            .words
            .iter()
            .map(|word| {
                let escaped: String = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
                format!("\"{escaped}\"\n")
            })
            .collect();
        std::fs::write(folder.with_extension("dict"), words).unwrap();
    }
}
