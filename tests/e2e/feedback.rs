//! FEEDBACK: an answer that was called bad for a prompt never answers it again, whatever becomes of its entry.

use crate::harness::{cmd, Client, Message, Pair, Reply, Server};
use crate::support::{both, digest, explain, fp32, get, id_of, pass, set, stat, state, store, verdict, NO_ID};

const ASKED: &str = "How do I reset my password?";
const ALIKE: &str = "how do i reset my password";
const LOUD: &str = "HOW DO I RESET MY PASSWORD!";

/// `LLMCACHE.FEEDBACK faq id bad FOR prompt …` with the words of a line behind it.
#[track_caller]
fn say(c: &mut Client, id: &str, opinion: &str, prompt: &str, options: &str) -> Reply {
    let mut words = vec!["LLMCACHE.FEEDBACK", "faq", id, opinion, "FOR", prompt];
    words.extend(options.split_whitespace());
    c.cmd(&words)
}

/// How many pairs the cache remembers.
#[track_caller]
fn pairs(c: &mut Client) -> i64 {
    c.words("LLMCACHE.INFO faq").field("index").field("feedback").int()
}

/// A cache that matches similar questions and has one answer; its id.
#[track_caller]
fn fill(c: &mut Client) -> String {
    c.words("LLMCACHE.CREATE faq MODE similar").ok();
    store(c, ASKED, "r")
}

#[test]
fn a_bad_answer_to_a_prompt_never_answers_it_again() {
    both(|c| {
        let id = fill(c);
        assert_eq!(get(c, ALIKE, ""), "r");
        say(c, &id, "bad", ALIKE, "").ok();
        assert!(get(c, ALIKE, "").is_null());
        assert!(get(c, ALIKE, "SIMILAR STALEOK").is_null());
        let told = explain(c, ALIKE, "");
        assert_eq!([told.field("verdict").text(), told.field("reason").text()], ["miss", "feedback"]);
        let candidate = told.field("candidates").at(0);
        assert_eq!([candidate.field("id").text(), candidate.field("verdict").text()], [id.clone(), "feedback".into()]);
        assert_eq!(candidate.field("similarity").number(), 1.0);
        // Whoever asks otherwise is not meant, nor is the question itself.
        assert_eq!(get(c, LOUD, ""), "r");
        assert_eq!(get(c, ASKED, ""), "r");
        assert_eq!(["feedback_bad", "feedback_good", "miss_guard"].map(|name| stat(c, name)), [1, 0, 2]);
        assert_eq!(pairs(c), 1);
        // GUARDS off leaves it at the threshold, and feedback.
        c.words("LLMCACHE.ALTER faq GUARDS off").ok();
        assert!(get(c, ALIKE, "").is_null());
        // An answer of its own is one.
        store(c, ALIKE, "own");
        assert_eq!(get(c, ALIKE, ""), "own");
    });
}

#[test]
fn good_takes_the_word_back() {
    both(|c| {
        let id = fill(c);
        say(c, &id, "BAD", ALIKE, "").ok();
        say(c, &id.to_uppercase(), "bad", ALIKE, "").ok();
        assert_eq!(pairs(c), 1, "saying it twice is saying it once");
        say(c, &id, "good", LOUD, "").ok();
        assert!(get(c, ALIKE, "").is_null(), "another prompt was called good");
        say(c, &id, "Good", ALIKE, "").ok();
        assert_eq!(get(c, ALIKE, ""), "r");
        assert_eq!(["feedback_bad", "feedback_good"].map(|name| stat(c, name)), [2, 2]);
        assert_eq!(pairs(c), 0);
    });
}

#[test]
fn bad_by_itself_removes_the_entry_and_good_only_counts() {
    both(|c| {
        let id = fill(c);
        let before = digest(c, "faq");
        cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "good").ok();
        assert_eq!((digest(c, "faq"), get(c, ASKED, "")), (before, Reply::Bulk(b"r".to_vec())));
        cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad").ok();
        assert!(get(c, ASKED, "").is_null() && get(c, ALIKE, "").is_null());
        assert_eq!(c.words("LLMCACHE.INFO faq").field("entries").int(), 0);
        assert!(cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad").is_null(), "there is nothing left to remove");
        assert_eq!(["feedback_bad", "feedback_good"].map(|name| stat(c, name)), [1, 1]);
        // It may come again.
        store(c, ASKED, "better");
        assert_eq!(get(c, ALIKE, ""), "better");
    });
}

#[test]
fn an_unknown_id_is_null_and_nothing_is_noted() {
    both(|c| {
        let id = fill(c);
        set(c, "Who wrote Hamlet?", "r", "PX 5").ok();
        let short = explain(c, "Who wrote Hamlet?", "").field("digest").text()[..32].to_owned();
        pass(8);
        let before = digest(c, "faq");
        for unknown in [NO_ID, "no-id", "", &short, &id[..31], &format!("{id}0")] {
            for opinion in ["good", "bad"] {
                assert!(cmd!(c, "LLMCACHE.FEEDBACK", "faq", unknown, opinion).is_null(), "{unknown}");
                assert!(say(c, unknown, opinion, ALIKE, "").is_null(), "{unknown}");
            }
        }
        assert_eq!(digest(c, "faq"), before);
        assert_eq!(["feedback_bad", "feedback_good"].map(|name| stat(c, name)), [0, 0]);
        assert!(cmd!(c, "LLMCACHE.FEEDBACK", "none", id, "bad").is_null());
        assert_eq!(c.words("DBSIZE"), 1, "and no cache is made");
        // A stale one is still there.
        c.words("LLMCACHE.INVALIDATE faq ALL SOFT");
        say(c, &id, "bad", ALIKE, "").ok();
        assert!(get(c, ALIKE, "STALEOK").is_null());
        assert_eq!(get(c, LOUD, "STALEOK"), "r");
    });
}

#[test]
fn what_is_not_well_formed_is_an_error_and_changes_nothing() {
    both(|c| {
        let id = fill(c);
        let before = state(c);
        for (words, error) in [
            ("fine", "ERR the opinion must be good or bad, got 'fine'"),
            ("bad MODEL m", "ERR MODEL needs FOR as well"),
            ("good REQUEST", "ERR REQUEST needs FOR as well"),
            ("bad FOR", "ERR FOR needs a value"),
            ("bad FOR a FOR b", "ERR FOR may be given only once"),
            ("bad FOR a FROM b", "ERR unknown option 'FROM' at argument 6"),
            ("bad FOR a PARAMS [1]", "ERR PARAMS must be "),
            ("bad FOR {} REQUEST", "ERR request "),
            ("bad FOR {} REQUEST MODEL m", "ERR REQUEST "),
        ] {
            let told = c.words(&format!("LLMCACHE.FEEDBACK faq {id} {words}")).error().to_owned();
            assert!(told.to_lowercase().starts_with(&error.to_lowercase()), "{words}: {told}");
        }
        assert!(cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad", "FOR", "").error().contains("empty"));
        for words in ["LLMCACHE.FEEDBACK", "LLMCACHE.FEEDBACK faq", &format!("LLMCACHE.FEEDBACK faq {id}")] {
            assert!(c.words(words).error().starts_with("ERR wrong number of arguments"), "{words}");
        }
        assert_eq!(state(c), before);
    });
}

#[test]
fn a_word_is_about_one_context() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MODE similar").ok();
        let contexts = ["", "MODEL m", "SCOPE s", "SYSTEM x", "PARAMS {\"a\":1}", "MODEL m SCOPE s"];
        let ids = contexts.map(|context| {
            set(c, ASKED, context, context).ok();
            get(c, ASKED, &format!("{context} WITHMETA")).field("id").text()
        });
        for (i, context) in contexts.iter().enumerate() {
            // Of another context's entry it says nothing here.
            let other = &ids[(i + 1) % ids.len()];
            say(c, other, "bad", ALIKE, context).ok();
            assert_eq!(get(c, ALIKE, context), *context);
            say(c, &ids[i], "bad", ALIKE, context).ok();
            assert!(get(c, ALIKE, context).is_null(), "{context}");
            for later in &contexts[i + 1..] {
                assert_eq!(get(c, ALIKE, later), *later, "{context}");
            }
        }
    });
}

#[test]
fn a_prompt_may_be_the_body_of_a_request() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MODE similar").ok();
        let body = |text: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
        cmd!(c, "LLMCACHE.SET", "faq", body(ASKED), "r", "REQUEST").ok();
        let found = cmd!(c, "LLMCACHE.GET", "faq", body(ALIKE), "REQUEST", "WITHMETA");
        assert_eq!([found.field("match").text(), found.field("prompt").text()], ["similar", ASKED]);
        let id = found.field("id").text();
        // The same words as a plain prompt are another question.
        say(c, &id, "bad", ALIKE, "MODEL m").ok();
        assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", body(ALIKE), "REQUEST"), "r");
        let streamed = body(ALIKE).replace(r#""model""#, r#""stream":true,"model""#);
        cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad", "FOR", streamed, "REQUEST").ok();
        assert!(cmd!(c, "LLMCACHE.GET", "faq", body(ALIKE), "REQUEST").is_null());
        assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", body(LOUD), "REQUEST"), "r");
    });
}

#[test]
fn the_next_best_answers_instead() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MODE similar SIMILARITY vector GUARDS off").ok();
        for (prompt, vector) in [("best", [1.0, 0.0]), ("good", [1.0, 0.2]), ("far", [0.0, 1.0])] {
            cmd!(c, "LLMCACHE.SET", "faq", prompt, prompt, "FP32", fp32(&vector)).ok();
        }
        let ask = |c: &mut Client| get(c, "q", "VALUES 2 1 0");
        for (prompt, next) in [("best", "good"), ("good", "")] {
            assert_eq!(ask(c), prompt);
            let id = id_of(c, prompt);
            say(c, &id, "bad", "q", "").ok();
            match next {
                "" => assert!(ask(c).is_null()),
                next => assert_eq!(ask(c), next),
            }
        }
        assert_eq!(verdict(c, "q", "VALUES 2 1 0"), "miss feedback");
    });
}

#[test]
fn a_word_outlives_its_entry() {
    both(|c| {
        let id = fill(c);
        say(c, &id, "bad", ALIKE, "").ok();
        for how in ["overwritten", "deleted", "expired", "invalidated", "bad", "altered"] {
            match how {
                "deleted" => assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", id), 1),
                "expired" => {
                    assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, 0), 1);
                    assert!(get(c, ASKED, "").is_null());
                }
                "invalidated" => assert_eq!(c.words("LLMCACHE.INVALIDATE faq ALL"), 1),
                "bad" => cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad").ok(),
                "altered" => {
                    for line in ["MODE exact", "SIMILARITY lexical", "SIMILARITY builtin MODE similar"] {
                        c.words(&format!("LLMCACHE.ALTER faq {line}")).ok();
                    }
                }
                _ => {}
            }
            set(c, ASKED, how, "EX 100").ok();
            assert_eq!(verdict(c, ALIKE, ""), "miss feedback", "{how}");
            assert!(get(c, ALIKE, "").is_null(), "{how}");
            assert_eq!(get(c, LOUD, ""), how);
        }
        set(c, ASKED, "short", "PX 5").ok();
        pass(8);
        set(c, ASKED, "again", "").ok();
        assert_eq!([verdict(c, ALIKE, ""), verdict(c, LOUD, "")], ["miss feedback", "hit similar"]);
    });
}

#[test]
fn transactions_and_scripts_may_say_it() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    let id = fill(&mut c);
    c.words("MULTI").ok();
    say(&mut c, &id, "bad", ALIKE, "");
    get(&mut c, ALIKE, "");
    let replies = c.words("EXEC");
    assert!(replies.at(0).is_ok() && replies.at(1).is_null());
    let script = "return {redis.call('LLMCACHE.FEEDBACK', KEYS[1], ARGV[1], 'good', 'FOR', ARGV[2]), \
                  redis.call('LLMCACHE.GET', KEYS[1], ARGV[2])}";
    let told = cmd!(c, "EVAL", script, 1, "faq", id, ALIKE);
    assert!(told.at(0).is_ok());
    assert_eq!(*told.at(1), "r");
    // Who watches hears of what changes something.
    for (opinion, prompt, changes) in
        [("good", LOUD, false), ("bad", LOUD, true), ("bad", LOUD, false), ("good", LOUD, true)]
    {
        c.words("WATCH faq").ok();
        say(&mut other, &id, opinion, prompt, "").ok();
        c.words("MULTI").ok();
        c.words("PING");
        assert_eq!(c.words("EXEC").is_null(), changes, "{opinion}");
    }
}

#[test]
fn replicas_hear_of_it_and_may_not_say_it() {
    let pair = Pair::with(|b| b.config("notify-keyspace-events KEA"));
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client3());
    let id = fill(&mut primary);
    let loud = store(&mut primary, LOUD, "loud");
    pair.wait_in_sync();
    assert_eq!(get(&mut replica, ALIKE, "NOTOUCH"), "r");
    for (opinion, reason) in [("bad", "feedback"), ("good", "similar"), ("bad", "feedback")] {
        for id in [&id, &loud] {
            say(&mut primary, id, opinion, ALIKE, "").ok();
        }
        pair.wait_in_sync();
        assert_eq!(*explain(&mut replica, ALIKE, "").field("reason"), reason);
        assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"));
    }
    assert_eq!(["feedback_bad", "feedback_good"].map(|name| stat(&mut primary, name)), [4, 2]);
    let refused = say(&mut replica, &id, "bad", ALIKE, "");
    assert!(refused.error().starts_with("READONLY "), "{refused:?}");
    let mut listener = pair.primary.client();
    listener.subscribe(&["__keyevent@0__:llmcache.*"]);
    cmd!(primary, "LLMCACHE.FEEDBACK", "faq", id, "bad").ok();
    assert_eq!(listener.message(), Message { channel: "__keyevent@0__:llmcache.del".into(), payload: "faq".into() });
    pair.wait_in_sync();
    assert!(get(&mut replica, ASKED, "EXACT").is_null());
    assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"));
    pair.promote();
    assert_eq!(*explain(&mut replica, ALIKE, "").field("reason"), "feedback");
    say(&mut replica, &loud, "good", ALIKE, "").ok();
    assert_eq!(get(&mut replica, ALIKE, ""), "loud");
}

#[test]
fn the_latest_65536_words_are_remembered() {
    let server = Server::start();
    let mut c = server.client();
    let id = fill(&mut c);
    let empty = c.words("LLMCACHE.INFO faq").field("memory_bytes").int();
    let prompt = |i: usize| format!("{ALIKE} {}{}", "?".repeat(i % 500), "!".repeat(i / 500));
    let script = "for i = 0, ARGV[3] - 1 do \
                    local marks = string.rep('?', i % 500) .. string.rep('!', math.floor(i / 500)) \
                    redis.call('LLMCACHE.FEEDBACK', KEYS[1], ARGV[1], 'bad', 'FOR', ARGV[2] .. ' ' .. marks) \
                  end";
    assert!(cmd!(c, "EVAL", script, 1, "faq", id, ALIKE, 65_546).is_null());
    assert_eq!(pairs(&mut c), 65_536);
    let spent = c.words("LLMCACHE.INFO faq").field("memory_bytes").int() - empty;
    assert!((65_536 * 32..65_536 * 200).contains(&spent), "{spent} bytes");
    for (i, forgotten) in [(0, true), (9, true), (10, false), (40_000, false), (65_545, false)] {
        let reason = verdict(&mut c, &prompt(i), "");
        assert_eq!(reason, if forgotten { "hit similar" } else { "miss feedback" }, "{i}");
    }
}
