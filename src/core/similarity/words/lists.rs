//! Words that hold sentences together. Prepositions of time and place ("before", "under") are not among them, for they
//! carry meaning: one instead of another makes another question.

/// In alphabetical order.
#[rustfmt::skip]
pub(super) const FUNCTION: &[&str] = &[
    "a", "about", "actually", "ah", "all", "also", "am", "an", "and", "any", "anybody", "anyhow", "anyone", "anything",
    "are", "as", "at", "basically", "be", "because", "been", "being", "but", "by", "can", "could", "did", "do", "does",
    "doing", "done", "each", "either", "else", "etc", "even", "ever", "every", "everybody", "everyone", "everything",
    "exactly", "few", "for", "from", "get", "gets", "getting", "got", "give", "had", "has", "have", "having", "he",
    "hello", "her", "here", "hers", "herself", "hey", "hi", "him", "himself", "his", "how", "however", "i", "if", "in",
    "into", "is", "it", "its", "itself", "just", "kindly", "let", "like", "many", "may", "maybe", "me", "might", "mine",
    "much", "must", "my", "myself", "neither", "no", "nobody", "none", "nor", "not", "nothing", "now", "of", "oh", "ok",
    "okay", "on", "onto", "or", "other", "others", "ought", "our", "ours", "ourselves", "own", "per", "perhaps",
    "please", "possibly", "quite", "rather", "really", "same", "shall", "she", "should", "so", "some", "somebody",
    "someone", "something", "somehow", "such", "tell", "than", "thanks", "that", "the", "their", "theirs", "them",
    "themselves", "then", "there", "these", "they", "this", "those", "though", "thus", "to", "too", "until", "upon",
    "us", "very", "via", "was", "we", "well", "were", "what", "whatever", "when", "whenever", "where", "whether",
    "which", "whichever", "while", "who", "whoever", "whom", "whose", "why", "will", "with", "would", "yes", "yet",
    "you", "your", "yours", "yourself", "yourselves",
];

/// Words behind which "one" stands for a thing or a person.
#[rustfmt::skip]
pub(super) const BEFORE_PRONOUN: &[&str] = &[
    "another", "any", "better", "best", "can", "could", "does", "each", "every", "favorite", "favourite", "how", "if",
    "is", "may", "might", "must", "new", "no", "other", "right", "shall", "should", "some", "such", "that", "the",
    "this", "was", "what", "when", "which", "will", "would",
];

/// Words that titles leave small.
#[rustfmt::skip]
pub(super) const SMALL: &[&str] = &[
    "a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "into", "nor", "of", "on", "or", "per", "the", "to",
    "vs", "with",
];

/// Words that hold sentences of other languages together and are no English words. Names have them as well (Los
/// Angeles, Charles de Gaulle), so the corpus knows most of them.
#[rustfmt::skip]
pub(super) const FOREIGN: &[&str] = &[
    "al", "au", "auf", "aus", "aux", "avec", "bei", "bin", "bist", "che", "como", "con", "cosa", "cual", "cuál",
    "cuando", "da", "das", "de", "dei", "del", "della", "dem", "den", "der", "des", "di", "dich", "dos", "du", "ein",
    "eine", "einem", "einen", "einer", "el", "em", "en", "entre", "es", "est", "está", "et", "foi", "für", "gibt",
    "haben", "hat", "het", "hoe", "ich", "il", "ist", "je", "kann", "la", "las", "le", "les", "lo", "los", "mais",
    "mein", "mit", "nach", "nas", "nel", "nicht", "nos", "nous", "oder", "où", "para", "perché", "por", "porque",
    "pour", "qual", "que", "qué", "quel", "quelle", "qui", "quien", "sich", "sie", "sind", "sobre", "sono", "sont",
    "su", "sul", "sur", "très", "tu", "um", "una", "und", "une", "uno", "vom", "von", "vous", "wat", "wie", "wir",
    "wird", "wo", "zu", "zum", "zur", "über", "è", "é",
];
