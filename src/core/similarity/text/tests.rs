use super::super::words::Capital;
use super::*;

fn normal(prompt: &str) -> String {
    Text::read(prompt.as_bytes()).map(|text| text.normal).unwrap_or_default()
}

#[test]
fn case_space_and_punctuation_go() {
    let cases = [
        ("What is  the\tcapital of France?", "what is the capital of france"),
        ("WHAT IS THE CAPITAL OF FRANCE", "what is the capital of france"),
        ("What is the capital of France ??", "what is the capital of france"),
        ("Is \"effect\" or 'affect' right?", "is effect or affect right"),
        ("gin,vodka and rum (cheap ones).", "gin vodka and rum cheap ones"),
        ("Wait... what?! Why – and how — is that", "wait what why and how is that"),
        ("a well-known idea", "a well known idea"),
        ("black & white", "black and white"),
        ("你好，世界！", "你 好 世 界"),
        ("Où est la gare ?", "où est la gare"),
        ("**bold** and *really* bold", "bold and really bold"),
        ("king's speech", "king speech"),
        ("Whats wrong, dont u know", "what is wrong do not u know"),
        ("its lets ill well", "its lets ill well"),
        ("What’s up, don’t you know?", "what is up do not you know"),
        ("the file(s) in it", "the file in it"),
        ("a *b* c and 16 Gb or 500 MB", "a b c and 16 gb or 500 mb"),
        ("is it plan b? i need it", "is it plan b i need it"),
        ("Look !this is it", "look this is it"),
        ("HOW DO I USE LS -L", "how do i use ls -l"),
    ];
    for (prompt, expected) in cases {
        assert_eq!(normal(prompt), expected, "{prompt}");
    }
}

#[test]
fn what_means_something_stays() {
    let cases = [
        ("is -5 < 1.5?", "is -5 < 1.5"),
        ("a 50% rise of $5 or €3.20", "a 50% rise of $5 or €3.20"),
        ("50 percent, 50 per cent, 50 %", "50% 50% 50%"),
        ("8,000 or 1,00,000 or 1,2,3", "8000 or 100000 or 1 2 3"),
        ("C++, C# and .NET", "c++ c# and .net"),
        ("2+3", "2 + 3"),
        ("a<b and x*y", "a < b and x * y"),
        ("at 10:30 a.m.", "at 10:30 am"),
        ("my e-mail is a.b@c.org.", "my email is a.b@c.org"),
        ("the U.S. and the U.K.", "the us and the uk"),
        ("see https://example.com/a?b=C.", "see https://example.com/a?b=c"),
        ("node.js and asp.net", "node.js and asp.net"),
        ("what does 😊 mean", "what does 😊 mean"),
        ("f-16 or x-ray, 10-20 or covid-19", "f-16 or x-ray 10-20 or covid 19"),
        ("what is 5! + 1", "what is 5! + 1"),
        ("AT&T and Q&A", "at&t and q&a"),
        ("a 10kg bag at 5pm", "a 10 kg bag at 5 pm"),
        ("ls -l --all", "ls -l --all"),
        ("I am 5'10\" tall", "i am 5'10\" tall"),
        ("what does `ls -l` do", "what does ls -l do"),
        ("what does w/o mean", "what does without mean"),
        ("f(x) = 2*(x+1);", "f ( x ) = 2 * ( x + 1 ) ;"),
        ("why is !ready true", "why is ! ready true"),
        ("does a* match, or b? match", "does a* match or b? match"),
        ("git branch -D it", "git branch -D it"),
        ("5 MB/s or 5 Mb/s", "5 mb / s or 5 Mb / s"),
    ];
    for (prompt, expected) in cases {
        assert_eq!(normal(prompt), expected, "{prompt}");
    }
}

#[test]
fn manners_go() {
    let capital = "what is the capital of france";
    let wrapped = [
        "Hi, what is the capital of France?",
        "Hey there! What is the capital of France?",
        "hello what is the capital of france",
        "Good morning everyone, what is the capital of France? Thanks!",
        "Please, what is the capital of France",
        "Could you please tell me what is the capital of France?",
        "Can you tell me: what is the capital of France? Thank you in advance.",
        "I'd like to know what is the capital of France, please.",
        "I was wondering what is the capital of France",
        "Hello, could you help me? What is the capital of France? thank you",
        "Quick question: What is the capital of France? Please.",
        "I have a question. What is the capital of France? Any help is appreciated!",
        "Excuse me, do you happen to know what is the capital of France? Thanks a lot for your help.",
        "what is the capital of france pls",
        "what is the capital of france thanks in advance",
    ];
    for prompt in wrapped {
        assert_eq!(normal(prompt), capital, "{prompt}");
    }
    let others = [
        ("Can you tell me a joke?", "tell me a joke"),
        ("please tell me a joke", "tell me a joke"),
        ("tell me a joke", "tell me a joke"),
        ("Could you explain recursion?", "explain recursion"),
        ("Would you please write a poem", "write a poem"),
        ("can you help me write a poem?", "write a poem"),
        ("Tell me how magnets work", "how magnets work"),
    ];
    for (prompt, expected) in others {
        assert_eq!(normal(prompt), expected, "{prompt}");
    }
}

#[test]
fn words_that_only_look_like_manners_stay() {
    let cases = [
        "can you eat raw potatoes",
        "can you make money online",
        "can you write to ntfs on a mac",
        "hello world",
        "hello kitty",
        "how do you say thank you",
        "what is the meaning of please",
        "how to respond when someone says thank you",
        "thank you",
        "please",
        "hi",
        "how can i please my boss",
        "whom should i please",
        "the difference between please and thank you",
        "quick sort",
        "i would like to learn python",
        "do you know how to swim",
        "hello in french",
        "can you tell if somebody lies",
        "what song is about giving thanks",
    ];
    for prompt in cases {
        assert_eq!(normal(prompt), prompt);
    }
    assert_eq!(normal("Hello, World!"), "hello world");
    assert_eq!(normal("I need ideas: a party for 5 people"), "i need ideas a party for 5 people");
    assert_eq!(normal("What does \"please\" mean?"), "what does please mean");
    assert_eq!(normal("Translate \"thank you\""), "translate thank you");
}

/// A merge of two different questions is worse than a hit that is missed.
#[test]
fn what_differs_in_meaning_differs() {
    let pairs = [
        ("what is 1.5 times 2", "what is 15 times 2"),
        ("what is 1,5 times 2", "what is 15 times 2"),
        ("what is 1,234", "what is 1.234"),
        ("what is -5 plus 3", "what is 5 plus 3"),
        ("what is 2*(3+4)", "what is 2*3+4"),
        ("what is 10 - (3 - 4)", "what is 10 - 3 - 4"),
        ("simplify x - (y - z)", "simplify x - y - z"),
        ("what is 10²", "what is 102"),
        ("what is 5!", "what is 5"),
        ("learn C", "learn C++"),
        ("learn C#", "learn C"),
        ("learn .NET", "learn net"),
        ("is a < b", "is a > b"),
        ("a == b", "a != b"),
        ("a == b", "a = b"),
        ("x && y", "x || y"),
        ("x & y in C;", "x && y in C;"),
        ("what is a resign letter", "what is a re-sign letter"),
        ("what does 😊 mean", "what does 😢 mean"),
        ("costs $5", "costs €5"),
        ("costs 5", "costs 5%"),
        ("10:30", "10 30"),
        ("1-2", "12"),
        ("is it 1/2", "is it 12"),
        ("can I", "can't I"),
        ("i can", "i can not"),
        ("can you eat raw potatoes", "eat raw potatoes"),
        ("let us go", "lets go"),
        ("print(\"5\")", "print(5)"),
        ("what is ls -l", "what is ls l"),
        ("what does *p mean in C", "what does p mean in C"),
        ("what does -r do", "what does r do"),
        ("sort a[i]", "sort a(i)"),
        ("how are you", "how are they"),
        ("its", "it is"),
        ("résumé tips", "resume tips"),
        ("is x ≤ y", "is x ≥ y"),
        ("part i of 3", "part ii of 3"),
        ("what is a@b.com", "what is ab.com"),
        ("what is #5", "what is 5"),
        ("how do i say thank you", "how do i say"),
        ("a+b", "a-b"),
        ("10mm", "10m"),
        ("5 m", "5 mm"),
        ("the 90s", "the 90"),
        ("not safe", "safe"),
        ("i.e. this", "e.g. this"),
        ("H2O", "H20"),
        ("what is !ready", "what is ready"),
        ("does a* match", "does a match"),
        ("does a* match", "does a? match"),
        ("is 5 MB/s fast", "is 5 Mb/s fast"),
        ("is 5 MBps fast", "is 5 Mbps fast"),
        ("is 5 mW a lot", "is 5 MW a lot"),
        ("is 2 Mg a lot", "is 2 mg a lot"),
        ("git branch -d", "git branch -D"),
    ];
    for (a, b) in pairs {
        assert_ne!(normal(a), normal(b));
    }
}

#[test]
fn what_cannot_be_compared_is_none() {
    assert!(Text::read(b"").is_none());
    assert!(Text::read(b" ?! ... ").is_none());
    assert!(Text::read(b"\xff\xfe").is_none());
    assert!(Text::read(&b"a ".repeat(MAX_PROMPT)).is_none());
    assert!(Text::read("😊".as_bytes()).is_some());
}

#[test]
fn reading_again_changes_nothing() {
    for prompt in
        ["What's the U.S. up to, in 8,000 words?", "f(x) = 2*(x+1);", "Hi! Can you tell me a joke?", "5 $ or 5%"]
    {
        assert_eq!(normal(&normal(prompt)), normal(prompt));
    }
}

#[test]
fn normal_is_its_words() {
    let text = Text::read(b"Hi! What's 2+3, e.g. in C++?").unwrap();
    let words: Vec<_> = text.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words.join(" "), text.normal);
}

fn capitals(prompt: &str) -> String {
    let text = Text::read(prompt.as_bytes()).unwrap();
    let marks = text.words.iter().map(|word| match (word.starts, word.capital) {
        (true, _) => 's',
        (_, Capital::None) => '.',
        (_, Capital::First) => 'F',
        (_, Capital::All) => 'A',
        (_, Capital::Mixed) => 'M',
    });
    marks.collect()
}

#[test]
fn capitals_say_something_unless_all_are_capitals() {
    let cases = [
        ("What is the capital of France?", "s....F"),
        ("What is NASA? Is IBM on iOS?", "s.AsA.M"),
        ("WHAT IS THE CAPITAL OF FRANCE?", "s....."),
        ("What Is The Capital Of France?", "s....."),
        ("Who is Barack Obama?", "s.FF"),
        ("Hey, What is Rust?", "s.F"),
        ("May I buy it in Rome?", "s....F"),
    ];
    for (prompt, expected) in cases {
        assert_eq!(capitals(prompt), expected, "{prompt}");
    }
}

#[test]
fn quoted_strings_keep_their_spelling() {
    let text = Text::read("What do “Carpe Diem” and 'Tabula rasa' and `Vec<T>` mean?".as_bytes()).unwrap();
    assert_eq!(text.quoted, ["Carpe Diem", "Tabula rasa", "Vec<T>"]);
}

#[test]
fn any_text_is_read() {
    let mut state = 0xfeed_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let pieces: Vec<&str> =
        "a|B|7|.|,|'|\"|`|-|--|(|)|[|]|{|}|;|:|!|?|/|\\|*|+|=|<|>|&|%|$|€|#|@|_|^|~| |  |\n|é|e\u{301}|你|😊|\u{200d}|\
        \u{1f3fb}|½|²|www.|://|n't|'s|per cent|please|thanks|hi|can you|tell me|U.S.|1,000|”|—|\u{0}|ß|İ|\u{300}"
            .split('|')
            .collect();
    for _ in 0..5_000 {
        let prompt: String = (0..draw(40)).map(|_| pieces[draw(pieces.len())]).collect();
        if let Some(text) = Text::read(prompt.as_bytes()) {
            let words: Vec<_> = text.words.iter().map(|word| word.text.as_str()).collect();
            assert_eq!(words.join(" "), text.normal, "{prompt:?}");
        }
    }
}
