//! What people put around a question, in the language of patterns that [`super`] describes.

/// Lists that patterns name.
#[rustfmt::skip]
pub(super) const NAMED: &[(&str, &str)] = &[
    ("<aid>", "advice|assistance|guidance|help|support"),
    ("<all>", "again|ai|all|assistant|bot|buddy|chatgpt|claude|copilot|dear|everybody|everyone|folks|friend|friends|\
               gemini|gpt|guys|madam|mate|sir|team|there"),
    ("<anyone>", "anybody|anyone|somebody|someone|u|you"),
    ("<can>", "can|could|will|would"),
    ("<good>", "good|great|helpful|lovely|nice|welcome"),
    ("<help>", "advice|assistance|guidance|help|ideas|insight|insights|suggestion|suggestions|support|tips"),
    ("<me>", "me|us"),
    ("<please>", "kindly|please|plese|pls|plz"),
    ("<thanks>", "thankyou|thanks|thnx|thx|tnx|tq"),
    ("<the>", "a|an|another|any|the|this|your"),
    ("<very>", "greatly|highly|much|really|so|very"),
    ("<want>", "like|love|need|want|wanted|wish"),
    ("<wh>", "how|what|when|where|which|who|why"),
    ("<would>", "also|just|only|really|would"),
    ("<you>", "u|you"),
];

/// Before the question.
#[rustfmt::skip]
pub(super) const FRONT: &[&str] = &[
    "greetings|hello|hey|hi|hiya|howdy <all>? >",
    "good afternoon|day|evening|morning <all>? >",
    "dear <all> >",
    "excuse|pardon me >",
    "apologies|sorry ,",
    "sorry to bother|disturb|trouble you but? >",
    "alright|anyway|btw|hmm|now|ok|okay|right|so|uh|um|well ,",
    "so =<wh>",
    "by the way >",
    "<please>",

    "just|only? a|another|one? dumb|general|quick|random|serious|short|silly|simple|small|stupid question >",
    "i just? got|had|have a|another|one little|quick|short|simple|small? doubt|query|question for|to? you? ~",
    "my question is as|that|this? follows? >",
    "here comes|is a|my|the question >",
    "query|question ,",
    "answer following|my|the|this following? question|questions ,",
    "<please>? answer|help ,",

    "<can> <anyone> <please>",
    "<can> <anyone> possibly? =clarify|describe|elaborate|enlighten|explain|outline|paraphrase|proofread|recommend|\
        rephrase|suggest|summarise|summarize|translate",
    "<can> <anyone> possibly? =advise|assist|guide|help|inform|show|teach|tell =<me>",
    "<can> <you> possibly? =draw|educate|find|give|provide|remind|send|walk|write =<me>",
    "<can> <anyone> <please>? assist|help <me>? out? in|with? it|something|this? ,",
    "<can> <anyone> <please>? answer a|following|my|the|this? question|questions? for? <me>? ,",
    "<can> you be so kind as? and|to",
    "<can> you be able|kind|willing enough|to to?",
    "would you mind telling <me> ~",
    "is there anybody|anyone|somebody|someone that|who can|could =explain|help|tell",
    "i am|was hoping <anyone> <can>|might",
    "i would <very>? <very>? appreciate it? if <anyone> <can>",
    "i would be <very>? glad|grateful|happy|thankful if <anyone> <can>",
    "it would be <very>? <good> if <anyone> <can>",

    "i just|really? need|require|want <the>|some? <aid> in|on|with? something|this? ,",
    "need|want <the>|some? <aid> ,",
    "assist|help <me> out|please? ,",
    "help <me> to? =build|calculate|choose|compare|create|decide|determine|figure|find|fix|identify|improve|learn|make|\
        plan|prepare|prove|solve|translate|understand|write",
    "inform|tell <me> please? !a|an|another|in|it|joke|jokes|more|one|some|something|stories|story|that|this|your",
    "let <me> know ~",
    "let <me> ask you? a|something|this? question? ,",

    "i|id|we <would>? <would>? <want>|desire|have to know please?",
    "i|id|we <would>? <would>? <want> to ask|enquire|inquire you? ~",
    "i|id|we <would>? <would>? <want> to find out ~",
    "need|want|would like|to to? know ~",
    "i am|was also|always|just|kind|really|very? of? curious|wondering ~",
    "just|was curious|wondering ~",
    "wondering ~",
    "i always|just|often? wonder ~",
    "do|would <anyone> happen to know ~",
    "do you know =what|when|where|which|why",
    "does anybody|anyone|somebody|someone here? know =<wh>|if|whether",
    "can|could|may|might i|we please? ask|know you? please? ~",
];

/// Behind the question.
#[rustfmt::skip]
pub(super) const BACK: &[&str] = &[
    "<please>",
    "<thanks> a? bunch|lot|million|ton? <all>? in? advance|anticipation?",
    "thank you so|very? kindly|much? <all>? in? advance|anticipation?",
    "thank|thanks you? a|so? very? lot|much|ton? for all|any|answering|helping|reading|the|your any|the|your? kind? \
        <help>|answer|answers|attention|replies|reply|response|responses|time? and? <help>|time? in? advance?",
    "many|much thanks in? advance?",
    ", greatly|highly|much appreciated",
    ", best|kind|warm? regards|wishes",
    ", cheers|tia|ty",
    ", have a <good> day|evening|one|weekend",
    "any kind? of? <help>|answers are|is|will|would be? <very>? <very>? <good>|appreciated|welcomed",
    ", <please>? advise|answer|assist|guide|help|reply|respond|suggest <me>? out? asap|please|soon?",
    ", <please>? let <me> know please?",
    ", <can> <anyone> <please>? assist|help <me>? out? in|with? it|that|this? please?",
    ", <can> <anyone> <please>? advice|advise|answer|explain|tell <me>? please?",
    ", <can> <anyone> <please>? let <me> know please?",
    ", i would <very>? <very>? appreciate <the>? <help>|answer|it",
    ", i hope <anyone> can|could help <me>? out?",
    ", looking forward to an|hearing|the|your answer|from|reply|response? you?",
    ", i am just|really? asking|curious|wondering",
    ", just asking|curious|wondering",
];

/// Words with which a question or a request begins.
#[rustfmt::skip]
pub(super) const ASKING: &[&str] = &[
    "am", "are", "can", "could", "define", "describe", "did", "do", "does", "explain", "find", "give", "had", "has",
    "have", "help", "how", "i", "is", "kindly", "let", "list", "may", "might", "must", "need", "please", "pls", "plz",
    "shall", "should", "show", "summarize", "tell", "translate", "was", "were", "what", "when", "where", "which", "who",
    "whom", "whose", "why", "will", "would", "write",
];

/// Words with which one begins behind "I was wondering".
#[rustfmt::skip]
pub(super) const CLAUSE: &[&str] = &[
    "about", "any", "as", "at", "for", "from", "if", "in", "on", "the", "there", "to", "whether",
];

/// Words that make a following "please" or "thank you" a part of the sentence: "how do you say thank you".
#[rustfmt::skip]
pub(super) const HOLDING: &[&str] = &[
    "a", "an", "and", "are", "as", "be", "by", "called", "can", "could", "for", "gave", "give", "gives", "giving", "he",
    "her", "his", "i", "in", "is", "just", "like", "mean", "means", "my", "named", "no", "not", "of", "only", "or",
    "phrase", "pronounce", "reply", "respond", "said", "say", "saying", "says", "she", "should", "spell", "than", "the",
    "their", "they", "to", "translate", "use", "using", "versus", "vs", "we", "will", "with", "without", "word",
    "words", "would", "write", "you", "your",
];
