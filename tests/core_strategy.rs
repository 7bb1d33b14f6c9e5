//! How long answers live: which strategy a prompt gets, what strategies and rules may be, and how far TTLs spread.

use llmcache::core::strategy::content::classify;
use llmcache::core::strategy::{
    check_rule_name, check_strategy_name, jittered, resolve_ttl, Decision, Origin, Question, Rule, Strategies,
    Strategy, StrategyError, Ttl, BUILTIN_RULES, BUILTIN_STRATEGIES, MAX_CUSTOM, MAX_MS, MAX_PATTERN, MAX_RULES,
    PROMPT_SEEN,
};

/// Prompts by the rule that decides them; the strategy of each rule stands in `BUILTIN_RULES`.
const PROMPTS: &[(&str, &[&str])] = &[
    (
        "builtin:one-time",
        &[
            "Generate a random password",
            "Give me a new UUID",
            "Make me a strong random passphrase",
            "Flip a coin",
            "Please generate a strong password for me",
            "Can you give me a random number between 1 and 100?",
            "could you please create a unique username?",
            "I need a new API key",
            "Roll two dice",
            "roll 2d6",
            "Shuffle these cards: A K Q",
            "Pick a random winner from this list: Ann, Bob",
            "Pick one of these names at random",
            "Randomly select three of them",
            "Toss a coin for me please",
            "Generate a 16 character password with symbols",
            "Create a UUID v4",
            "random number between 1 and 10",
            "What is a random number between 1 and 10?",
            "Hey, can you flip a coin?",
            "Alexa, roll a die",
            "Tell me a random fact",
            "Suggest a unique name for my startup",
            "I want you to pick a number",
            "give me an OTP",
            "Generate five random test users as JSON",
            "I'd like a random movie recommendation",
            "Tell me another joke",
            "Surprise me",
            "Create a discount code",
            "Give me a lucky number",
            "Would you mind generating a random password?",
            "gimme a random number",
            "Give me a new idea",
            "Create a random sequence of 10 digits",
        ],
    ),
    (
        "builtin:live",
        &[
            "What is the weather right now?",
            "What should I say next to this caller?",
            "what time is it",
            "How am I doing?",
            "how is this call going",
            "What's the live score of the Lakers game?",
            "Who is winning the match?",
            "Is it raining in London right now?",
            "What is happening at the moment?",
            "As we speak, who leads the polls?",
            "What do I tell the customer?",
            "Coach me through this negotiation",
            "The caller is angry, what now?",
            "What is your mood?",
            "How are you feeling today?",
            "What time is it in Tokyo?",
            "Is the store open now?",
            "What's the current time in London?",
            "summarize the current caller's problem",
            "he just said it is too expensive, how do I respond?",
            "How should I respond to this customer?",
            "Give me a tip for this call",
            "What's the live bitcoin price",
            "real-time stock prices",
            "Is my train on time?",
            "Is the caller upset?",
            "Is the pharmacy open?",
            "suggest what I should tell the prospect",
            "What should I tell this customer?",
            "What does the caller want?",
            "What is Luna's mood?",
        ],
    ),
    (
        "builtin:time-sensitive",
        &[
            "What are current mortgage rates?",
            "AAPL stock price today",
            "What is the weather in Paris?",
            "bitcoin price",
            "Explain what the current stock price of AAPL means today",
            "What's happening in the news today?",
            "current EUR/USD rate",
            "which stocks are up today",
            "latest iPhone news",
            "What's the price of gold?",
            "How much does a Tesla cost?",
            "How much is bitcoin?",
            "What are interest rates?",
            "What is the exchange rate between USD and EUR?",
            "convert 100 USD to EUR",
            "usd to eur",
            "Who won the game last night?",
            "What will the weather be tomorrow?",
            "What's new in Python?",
            "Give me a stock quote for MSFT",
            "$TSLA",
            "MSFT quote",
            "gold prices",
            "How is the market doing?",
            "Weather forecast for Berlin",
            "Any recent developments in AI?",
            "Who is the current president of France?",
            "Summarize today's headlines",
            "What are the trending topics this week?",
            "When is the next train to Boston?",
            "What's the S&P 500 at?",
            "housing market trends",
            "What is a good mortgage rate?",
            "What is the stock price of Apple?",
            "What day is it?",
            "What's Apple trading at?",
            "Is bitcoin up?",
            "NBA scores",
            "Who is the CEO of Tesla?",
            "Explain today's jobs report",
            "Analyze today's market",
            "Explain the recent changes to the tax law",
            "cheapest flights to Rome",
            "What are the opening hours?",
        ],
    ),
    (
        "builtin:analysis",
        &[
            "Analyze this listing and recommend a price strategy",
            "Compare these two contracts and suggest improvements",
            "Evaluate this business plan",
            "Assess the risk of this loan application",
            "Please review my code",
            "Can you summarize this article?",
            "I need you to analyse the attached data",
            "Recommend a book for a ten year old",
            "Suggest three names",
            "Give me feedback on my essay",
            "Which laptop should I buy?",
            "What do you think of this design?",
            "pros and cons of remote work",
            "React vs Vue",
            "Should I rent or buy?",
            "What is the best way to learn Rust?",
            "Explain how the API works and suggest improvements",
            "tl;dr",
            "Write a summary of this text",
            "Recommend a price for this listing",
            "Analyze this listing and recommend a price",
            "Rank these candidates",
            "Compare TCP and UDP",
            "Summarize this meeting transcript",
            "Analyze this customer review",
            "Summarize this conversation",
            "Best way to cook rice",
            "What price should I list my house at?",
        ],
    ),
    (
        "builtin:definition",
        &[
            "Explain how photosynthesis works",
            "What is a REST API?",
            "Define entropy",
            "Explain how random forests work",
            "What is a UUID?",
            "What is a random variable?",
            "Explain the coin flip paradox",
            "Describe how UUIDs are generated",
            "Now explain recursion",
            "Now, explain recursion",
            "Explain how the stock market works",
            "What is a stock?",
            "What is an exchange rate?",
            "Explain how electric current flows",
            "What is alternating current?",
            "Explain how mortgage rates are calculated",
            "What is inflation?",
            "What is the difference between TCP and UDP?",
            "What's a monad?",
            "what does HTTP stand for?",
            "What does \"ephemeral\" mean?",
            "What are design patterns?",
            "What is photosynthesis?",
            "Tell me what a REST API is",
            "Can you explain recursion to me?",
            "Please explain quantum entanglement in simple terms.",
            "Describe the water cycle",
            "Why is the sky blue?",
            "difference between let and const",
            "meaning of life",
            "photosynthesis definition",
            "Tell me about the Roman Empire",
            "Hi, what is a REST API?",
            "I want to know what an API gateway is",
            "what is the capital of France",
            "What is real-time data processing?",
            "What is live chat?",
            "what is a ceo",
            "What is the best practice for naming variables?",
            "What are the best practices for REST APIs?",
            "What is regression analysis?",
            "What is a review?",
            "What is market segmentation?",
            "What is the price elasticity of demand?",
            "Explain stock options",
            "Explain the difference between a stock and a bond",
            "Explain the concept of interest rates",
            "What is the definition of a current ratio?",
            "Explain how the weather works",
            "What is weather?",
            "What is a live stream?",
            "What is a random forest?",
            "What is a unique index?",
            "Explain what a nonce is",
            "Explain password hashing",
        ],
    ),
    (
        "builtin:how-to",
        &[
            "How do I reset my password?",
            "How to tie a tie",
            "How do I generate a random password in Python?",
            "How can I shuffle a list in Java?",
            "how does a random number generator work?",
            "How to flip a coin fairly",
            "How do interest rates affect inflation?",
            "How do I invest in the stock market?",
            "How do I print the current directory in bash?",
            "How does photosynthesis work?",
            "how do vaccines work",
            "In Python, how do I reverse a list?",
            "How can I improve my English?",
            "I am building a web shop. How do I deploy it?",
            "Do you know how to tie a tie?",
            "Show me how to bake bread",
            "steps to create a website",
            "Walk me through installing Redis",
            "Is there a way to undo a commit?",
            "Tell me how TLS works",
            "How is cheese made?",
            "How do I use async in C++ ?",
            "How do I increase traffic on my website?",
            "How do I check the status of a git repository?",
            "How do I handle exceptions in Java?",
            "How do I respond to a pull request on GitHub?",
            "how do I compare two strings in java",
            "how do i update the price of a product in Shopify",
            "How to write a news article",
            "How to make chicken stock",
            "How do I create a new API key?",
            "how to pick a random element from a list",
            "How can I create a unique id in SQL?",
            "How do I flip a coin in JavaScript?",
        ],
    ),
    (
        "default",
        &[
            "Hello there",
            "Translate good morning to French",
            "Write a poem about the sea",
            "Tell me a joke",
            "Create a random password generator in Python",
            "Create a password policy",
            "Write a Python function that generates a random password",
            "What is my account balance?",
            "Hi",
            "How are you?",
            "Thanks!",
            "Write a haiku",
            "Fix this code: fn main( {}",
            "Translate to German: The cat is black",
            "Write an email to my boss",
            "Tell me a story about a dragon",
            "2+2",
            "Bonjour, comment ça va ?",
            "Write a Python function to reverse a string",
            "Hello, how are you today?",
            "What can you do?",
            "what do you mean?",
            "Write a program that rolls a die",
            "Write a script to flip a coin",
            "Create a random forest model",
            "Create a unique index on users(email)",
            "Write a function that returns a random number",
            "A unique name is required for each bucket.",
            "When should I use a mutex?",
            "Why does my code crash?",
        ],
    ),
];

fn question(prompt: &str) -> Question<'_> {
    Question { prompt: prompt.as_bytes(), model: b"", scope: b"", typ: None, temperature_above_one: false }
}

#[test]
fn prompts_get_the_rule_that_people_expect() {
    let strategies = Strategies::default();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (rule, prompts) in PROMPTS {
        for prompt in *prompts {
            count += 1;
            let decision = strategies.decide(&question(prompt), "standard");
            if decision.rule != *rule {
                wrong.push(format!("{prompt}: {} instead of {rule}", decision.rule));
            }
        }
    }
    assert!(count >= 80, "{count} prompts");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_examples_of_the_documentation_are_true() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/auto-strategy.md")).unwrap();
    let examples = document.split("## Examples").nth(1).unwrap().split("\n## ").next().unwrap();
    let strategies = Strategies::default();
    let mut count = 0;
    for row in examples.lines().filter(|line| line.contains('`')) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, prompt, strategy, rule, _] = cells[..] else { panic!("{row}") };
        let decision = strategies.decide(&question(prompt), "standard");
        let name = if rule == "default" { "the cache's own" } else { &*decision.strategy.name };
        assert_eq!((name, decision.rule), (strategy, rule), "{row}");
        count += 1;
    }
    assert!(count > 20, "{count} examples");
}

/// The fixed points of the specification, with the strategies they name.
#[test]
fn the_fixed_points_hold() {
    let strategies = Strategies::default();
    for (prompt, strategy) in [
        ("Explain how photosynthesis works", "aggressive"),
        ("What is a REST API?", "aggressive"),
        ("How do I reset my password?", "aggressive"),
        ("Analyze this listing and recommend a price strategy", "standard"),
        ("What are current mortgage rates?", "conservative"),
        ("AAPL stock price today", "conservative"),
        ("What is the weather right now?", "realtime"),
        ("What should I say next to this caller?", "realtime"),
        ("Generate a random password", "nocache"),
        ("Give me a new UUID", "nocache"),
        ("Hello there", "mine"),
    ] {
        let mut strategies = strategies.clone();
        strategies.set_strategy(custom("mine")).unwrap();
        assert_eq!(&*strategies.decide(&question(prompt), "mine").strategy.name, strategy, "{prompt}");
    }
    let hot = Question { temperature_above_one: true, ..question("What is a REST API?") };
    let decision = strategies.decide(&hot, "standard");
    assert_eq!((&*decision.strategy.name, decision.rule), ("nocache", "builtin:temperature"));
    assert_eq!(decision.strategy.ttl, Ttl::NotStored);
}

#[test]
fn case_politeness_and_typography_change_nothing() {
    for (prompt, rule) in [
        ("WHAT IS A REST API?", "builtin:definition"),
        ("what’s a rest api", "builtin:definition"),
        ("  \n\tPlease, could you explain photosynthesis", "builtin:definition"),
        ("Hey there! Can you please give me a new UUID, please?", "builtin:one-time"),
        ("¿What is a REST API？", "builtin:definition"),
        ("“What is a REST API?”", "builtin:definition"),
        ("What is the weather right-now", "builtin:live"),
    ] {
        assert_eq!(classify(prompt.as_bytes(), false).map(|rule| rule.name), Some(rule), "{prompt}");
    }
}

#[test]
fn every_builtin_rule_chooses_a_builtin_strategy_and_is_tried_here() {
    for rule in BUILTIN_RULES {
        assert!(BUILTIN_STRATEGIES.iter().any(|(name, _)| *name == rule.strategy), "{rule:?}");
        assert!(rule.name == "builtin:temperature" || PROMPTS.iter().any(|(name, _)| *name == rule.name), "{rule:?}");
    }
}

fn custom(name: &str) -> Strategy {
    Strategy { name: name.into(), ttl: Ttl::Millis(60_000), stale_ms: Some(5000), jitter_percent: Some(10) }
}

fn rule(name: &str, strategy: &str) -> Rule {
    Rule { name: name.into(), typ: None, model: None, scope: None, prompt: None, strategy: strategy.into() }
}

fn glob(pattern: &str) -> Option<Box<[u8]>> {
    Some(pattern.as_bytes().into())
}

fn names(strategies: &Strategies) -> Vec<(&str, Origin)> {
    strategies.list().map(|(strategy, origin)| (&*strategy.name, origin)).collect()
}

#[test]
fn the_builtin_strategies_are_those_of_the_table() {
    let strategies = Strategies::default();
    let list: Vec<_> = strategies.list().map(|(strategy, origin)| (&*strategy.name, strategy.ttl, origin)).collect();
    let seconds = |s: u64| Ttl::Millis(s * 1000);
    let wanted = [
        ("aggressive", seconds(86_400)),
        ("standard", seconds(21_600)),
        ("conservative", seconds(5400)),
        ("realtime", seconds(900)),
        ("nocache", Ttl::NotStored),
    ];
    assert_eq!(list, wanted.map(|(name, ttl)| (name, ttl, Origin::Builtin)));
    assert_eq!(strategies.find("AGGRESSIVE").unwrap().ttl, seconds(86_400));
    assert_eq!(strategies.find("auto"), None);
    assert_eq!(strategies.changed().count(), 0);
}

#[test]
fn strategies_are_set_changed_listed_and_deleted() {
    let mut strategies = Strategies::default();
    strategies.set_strategy(custom("Weekly")).unwrap();
    strategies.set_strategy(custom("daily")).unwrap();
    strategies.set_strategy(Strategy { ttl: Ttl::Never, ..custom("WEEKLY") }).unwrap();
    strategies.set_strategy(Strategy { ttl: Ttl::Millis(1), ..custom("NoCache") }).unwrap();
    let list = names(&strategies);
    assert_eq!(list[4..], [("nocache", Origin::Redefined), ("Weekly", Origin::Custom), ("daily", Origin::Custom)]);
    assert_eq!(strategies.find("weekly").unwrap().ttl, Ttl::Never);
    assert_eq!(strategies.find("nocache").unwrap().ttl, Ttl::Millis(1));
    assert_eq!(strategies.delete_strategy("NOCACHE", "nocache"), Ok(true), "a redefined one goes back, even in use");
    assert_eq!(strategies.find("nocache").unwrap().ttl, Ttl::NotStored);
    assert_eq!(strategies.delete_strategy("nocache", "standard"), Ok(false));
    assert_eq!(strategies.delete_strategy("auto", "standard"), Ok(false));
    assert_eq!(strategies.delete_strategy("weeklY", "standard"), Ok(true));
    assert_eq!(strategies.delete_strategy("weekly", "standard"), Ok(false));
    assert_eq!(names(&strategies).last(), Some(&("daily", Origin::Custom)));
}

#[test]
fn a_strategy_in_use_stays() {
    let mut strategies = Strategies::default();
    strategies.set_strategy(custom("daily")).unwrap();
    strategies.set_rule(rule("all", "DAILY")).unwrap();
    let error = strategies.delete_strategy("daily", "standard").unwrap_err();
    assert_eq!(error.to_string(), "strategy 'daily' is chosen by rule 'all': change or delete that rule first");
    assert!(strategies.delete_rule("ALL"));
    assert!(!strategies.delete_rule("all"));
    let error = strategies.delete_strategy("daily", "Daily").unwrap_err();
    assert_eq!(
        error.to_string(),
        "strategy 'daily' is the cache's own: choose another with LLMCACHE.ALTER key STRATEGY name first"
    );
    assert!(strategies.find("daily").is_some());
    assert_eq!(strategies.delete_strategy("daily", "standard"), Ok(true));
}

#[test]
fn rules_keep_their_order_and_the_first_that_fits_wins() {
    let mut strategies = Strategies::default();
    strategies.set_rule(Rule { typ: glob("faq*"), ..rule("types", "aggressive") }).unwrap();
    strategies.set_rule(Rule { model: glob("gpt-?"), scope: glob("tenant:*"), ..rule("both", "realtime") }).unwrap();
    strategies.set_rule(Rule { prompt: glob("*pool*"), ..rule("pools", "standard") }).unwrap();
    let ask = |strategies: &Strategies, typ: Option<&'static str>, model: &str, scope: &str, prompt: &str| {
        let question = Question {
            typ: typ.map(str::as_bytes),
            model: model.as_bytes(),
            scope: scope.as_bytes(),
            ..question(prompt)
        };
        let Decision { strategy, rule } = strategies.decide(&question, "conservative");
        (strategy.name.to_string(), rule.to_string())
    };
    let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
    assert_eq!(ask(&strategies, Some("faq-1"), "", "", "Flip a coin"), pair("aggressive", "types"));
    assert_eq!(ask(&strategies, None, "gpt-4", "tenant:1", "a pool"), pair("realtime", "both"));
    assert_eq!(ask(&strategies, None, "gpt-4", "", "a pool"), pair("standard", "pools"), "all conditions must hold");
    assert_eq!(ask(&strategies, None, "gpt-40", "tenant:1", "hello"), pair("conservative", "default"));
    assert_eq!(ask(&strategies, None, "", "", "Flip a coin"), pair("nocache", "builtin:one-time"));
    // Changed in its place, under the name it was given first.
    strategies.set_rule(Rule { prompt: glob("*"), ..rule("TYPES", "nocache") }).unwrap();
    let order: Vec<&str> = strategies.rules().iter().map(|rule| &*rule.name).collect();
    assert_eq!(order, ["types", "both", "pools"]);
    assert_eq!(ask(&strategies, None, "gpt-4", "tenant:1", "a pool"), pair("nocache", "types"));
}

#[test]
fn a_pattern_for_the_prompt_sees_its_first_16_kib() {
    let mut strategies = Strategies::default();
    strategies.set_rule(Rule { prompt: glob("*end"), ..rule("ends", "realtime") }).unwrap();
    strategies.set_rule(Rule { prompt: glob("*far*"), ..rule("far", "realtime") }).unwrap();
    let rule = |at: usize, word: &str, behind: usize| {
        let prompt = "x".repeat(at) + word + &"x".repeat(behind);
        strategies.decide(&question(&prompt), "standard").rule.to_string()
    };
    assert_eq!(PROMPT_SEEN, 16_384);
    assert_eq!(rule(PROMPT_SEEN - 3, "far", 0), "far");
    assert_eq!(rule(PROMPT_SEEN - 3, "far", 1_000_000), "far");
    assert_eq!(rule(PROMPT_SEEN - 2, "far", 1_000_000), "default");
    assert_eq!(rule(PROMPT_SEEN - 3, "end", 0), "ends");
    assert_eq!(rule(PROMPT_SEEN - 3, "end", 5), "ends", "what it sees, it takes for the whole");
    assert_eq!(rule(PROMPT_SEEN, "end", 0), "default");
}

#[test]
fn a_pattern_for_the_type_wants_a_type() {
    let mut strategies = Strategies::default();
    strategies.set_rule(Rule { typ: glob("*"), ..rule("typed", "realtime") }).unwrap();
    assert_eq!(strategies.decide(&question("hello"), "standard").rule, "default");
    assert_eq!(strategies.decide(&Question { typ: Some(b""), ..question("hello") }, "standard").rule, "typed");
    strategies.set_rule(Rule { model: glob(""), ..rule("no model", "realtime") }).unwrap_err();
    strategies.set_rule(Rule { model: glob(""), ..rule("no-model", "realtime") }).unwrap();
    assert_eq!(strategies.decide(&question("hello"), "standard").rule, "no-model");
}

#[test]
fn a_redefined_strategy_is_what_the_rules_choose() {
    let mut strategies = Strategies::default();
    strategies.set_strategy(Strategy { ttl: Ttl::Never, ..custom("aggressive") }).unwrap();
    let decision = strategies.decide(&question("What is a REST API?"), "standard");
    assert_eq!((&*decision.strategy.name, decision.strategy.ttl), ("aggressive", Ttl::Never));
    let decision = strategies.decide(&question("hello"), "gone");
    assert_eq!((&*decision.strategy.name, decision.rule), ("standard", "default"));
}

#[test]
fn names_that_would_mislead_are_refused() {
    for name in
        ["", " ", "a b", "a\nb", "a\u{7f}", "tab\t", "zero\u{200b}width", "\u{202e}rtl", "nbsp\u{a0}", &"x".repeat(65)]
    {
        assert!(matches!(check_strategy_name(name.as_bytes()), Err(StrategyError::Name { .. })), "{name:?}");
        assert!(matches!(check_rule_name(name.as_bytes()), Err(StrategyError::Name { .. })), "{name:?}");
    }
    assert!(matches!(check_strategy_name(b"\xff"), Err(StrategyError::Name { .. })));
    for name in ["daily", "täglich", "日報", "a:b/c", &"x".repeat(64)] {
        assert_eq!(check_strategy_name(name.as_bytes()), Ok(name));
        assert_eq!(check_rule_name(name.as_bytes()), Ok(name));
    }
    for name in ["auto", "AUTO", "Explicit"] {
        assert!(matches!(check_strategy_name(name.as_bytes()), Err(StrategyError::Reserved { .. })), "{name}");
        assert_eq!(check_rule_name(name.as_bytes()), Ok(name));
    }
    for name in ["default", "Default", "builtin:", "BUILTIN:live"] {
        assert!(matches!(check_rule_name(name.as_bytes()), Err(StrategyError::Reserved { .. })), "{name}");
        assert_eq!(check_strategy_name(name.as_bytes()), Ok(name));
    }
}

#[test]
fn figures_out_of_bounds_are_refused_and_nothing_changes() {
    let mut strategies = Strategies::default();
    let before = strategies.clone();
    let bad = [
        (Strategy { ttl: Ttl::Millis(0), ..custom("a") }, "TTL must be from 1 to 253402300799 seconds, got 0"),
        (
            Strategy { ttl: Ttl::Millis(MAX_MS + 1), ..custom("a") },
            "TTL must be from 1 to 253402300799 seconds, got 253402300799.001",
        ),
        (
            Strategy { ttl: Ttl::NotStored, ..custom("a") },
            "TTL must be a number of seconds or PERSIST: only the built-in nocache stores nothing",
        ),
        (
            Strategy { stale_ms: Some(MAX_MS + 1000), ..custom("a") },
            "STALE must be from 0 to 253402300799 seconds, got 253402300800",
        ),
        (Strategy { jitter_percent: Some(101), ..custom("a") }, "JITTER must be from 0 to 100 percent, got 101"),
        (custom("auto"), "strategy name must not be 'auto', which is reserved: choose another name"),
        (custom("a b"), "strategy name must be 1 to 64 bytes of printable UTF-8 without spaces, got 'a?b'"),
    ];
    for (strategy, text) in bad {
        assert_eq!(strategies.set_strategy(strategy).unwrap_err().to_string(), text);
    }
    let long = || Some(vec![b'*'; MAX_PATTERN + 1].into_boxed_slice());
    let bad = [
        (
            Rule { prompt: long(), ..rule("r", "standard") },
            "PROMPT must be a pattern of at most 256 bytes, got 257 bytes",
        ),
        (
            Rule { scope: long(), ..rule("r", "standard") },
            "SCOPE must be a pattern of at most 256 bytes, got 257 bytes",
        ),
        (
            rule("r", "auto"),
            "STRATEGY must be the name of a strategy of this cache (LLMCACHE.STRATEGY key LIST shows them), got 'auto'",
        ),
        (rule("default", "standard"), "rule name must not be 'default', which is reserved: choose another name"),
    ];
    for (rule, text) in bad {
        assert_eq!(strategies.set_rule(rule).unwrap_err().to_string(), text);
    }
    assert!(strategies.check_default("auto").is_err());
    assert!(strategies.check_default("Standard").is_ok());
    assert_eq!(strategies, before);
}

#[test]
fn errors_show_at_most_32_printable_bytes() {
    for name in ["x".repeat(500), "é".repeat(33), "\n\x1b[31m".repeat(20), "🙂".repeat(40), "\u{202e}".repeat(30)] {
        let text = Strategies::default().check_default(&name).unwrap_err().to_string();
        let shown = text.rsplit_once("got '").unwrap().1.strip_suffix('\'').unwrap();
        assert!(!shown.is_empty() && shown.len() <= 32, "{shown:?}");
        assert!(shown.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{shown:?}");
    }
    let text = check_rule_name(&[0xff; 200]).unwrap_err().to_string();
    assert!(text.ends_with(&format!("got '{}'", "?".repeat(32))), "{text}");
}

#[test]
fn there_is_a_most_of_both() {
    let mut strategies = Strategies::default();
    for i in 0..MAX_CUSTOM {
        strategies.set_strategy(custom(&format!("s{i}"))).unwrap();
    }
    let error = strategies.set_strategy(custom("more")).unwrap_err().to_string();
    assert_eq!(
        error,
        "strategy must be one of at most 256 in a cache, got one more: delete one with LLMCACHE.STRATEGY key DEL name"
    );
    strategies.set_strategy(custom("S7")).unwrap();
    strategies.set_strategy(custom("standard")).unwrap();
    for i in 0..MAX_RULES {
        strategies.set_rule(rule(&format!("r{i}"), "s1")).unwrap();
    }
    assert!(matches!(strategies.set_rule(rule("more", "s1")), Err(StrategyError::Full { .. })));
    strategies.set_rule(rule("R7", "s2")).unwrap();
}

#[test]
fn what_was_stored_comes_back_and_nothing_worse() {
    let mut strategies = Strategies::default();
    strategies.set_strategy(custom("daily")).unwrap();
    strategies.set_strategy(custom("realtime")).unwrap();
    strategies.set_rule(Rule { prompt: glob("*"), ..rule("all", "daily") }).unwrap();
    let parts = |s: &Strategies| (s.changed().cloned().collect::<Vec<_>>(), s.rules().to_vec());
    let (changed, rules) = parts(&strategies);
    assert_eq!(Strategies::from_parts(changed.clone(), rules.clone()).unwrap(), strategies);
    assert_eq!(Strategies::from_parts(Vec::new(), Vec::new()).unwrap(), Strategies::default());
    let twice = |error: StrategyError| matches!(error, StrategyError::Twice { .. });
    let more = |strategy| [changed.clone(), vec![strategy]].concat();
    assert!(twice(Strategies::from_parts(more(custom("DAILY")), Vec::new()).unwrap_err()));
    assert!(twice(Strategies::from_parts(more(custom("Realtime")), Vec::new()).unwrap_err()));
    assert!(twice(Strategies::from_parts(changed.clone(), vec![rule("a", "daily"), rule("A", "daily")]).unwrap_err()));
    for bad in [custom("auto"), custom("a b"), Strategy { ttl: Ttl::NotStored, ..custom("nocache") }] {
        Strategies::from_parts(more(bad), Vec::new()).unwrap_err();
    }
    Strategies::from_parts(Vec::new(), rules).unwrap_err();
    let many = (0..=MAX_CUSTOM).map(|i| custom(&format!("s{i}"))).collect();
    assert!(matches!(Strategies::from_parts(many, Vec::new()), Err(StrategyError::Full { .. })));
}

struct Lots(u64);

impl Lots {
    fn draw(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn jitter_stays_within_its_bounds() {
    let seed = 42;
    let mut lots = Lots(seed);
    for round in 0..200_000 {
        let ms = match lots.draw() % 4 {
            0 => lots.draw() % 3000,
            1 => lots.draw() % 100_000_000,
            2 => lots.draw() % (MAX_MS + 1),
            _ => lots.draw(),
        };
        let percent = (lots.draw() % 256) as u8;
        let lot = match lots.draw() % 8 {
            0 => 0,
            1 => u64::MAX,
            _ => lots.draw(),
        };
        let told = format!("seed {seed} round {round}: {ms} ms, {percent} %, lot {lot}");
        let drawn = jittered(ms, percent, lot);
        assert_eq!(drawn, jittered(ms, percent, lot), "{told}");
        let spread = u128::from(ms) * u128::from(percent.min(100)) / 100;
        let (low, high) = (u128::from(ms) - spread, u128::from(ms) + spread);
        assert!(u128::from(drawn) <= high && u128::from(drawn) >= low, "{told}: {drawn}");
        assert!(drawn >= ms.min(1000), "{told}: {drawn}");
        if percent == 0 {
            assert_eq!(drawn, ms, "{told}");
        }
    }
}

#[test]
fn jitter_reaches_both_ends_and_all_between() {
    assert_eq!(jittered(100_000, 10, 0), 90_000);
    assert_eq!(jittered(100_000, 10, u64::MAX), 110_000);
    assert_eq!(jittered(100_000, 10, 1 << 63), 100_000);
    assert_eq!(jittered(100_000, 100, 0), 1000);
    assert_eq!(jittered(500, 100, 0), 500);
    let seed = 7;
    let mut lots = Lots(seed);
    let mut tenths = [0_u32; 10];
    for _ in 0..100_000 {
        let above = jittered(1_000_000, 50, lots.draw()) - 500_000;
        tenths[(above / 100_001) as usize] += 1;
    }
    assert!(tenths.iter().all(|n| (9500..10_500).contains(n)), "seed {seed}: {tenths:?}");
}

#[test]
fn a_strategy_s_own_jitter_comes_first() {
    let mut strategy = custom("a");
    assert_eq!(resolve_ttl(&strategy, 50, 0), Ttl::Millis(54_000));
    strategy.jitter_percent = Some(0);
    assert_eq!(resolve_ttl(&strategy, 50, 0), Ttl::Millis(60_000));
    strategy.jitter_percent = None;
    assert_eq!(resolve_ttl(&strategy, 50, 0), Ttl::Millis(30_000));
    strategy.ttl = Ttl::Never;
    assert_eq!(resolve_ttl(&strategy, 50, 0), Ttl::Never);
    strategy.ttl = Ttl::NotStored;
    assert_eq!(resolve_ttl(&strategy, 50, 0), Ttl::NotStored);
}
