//! A pair of languages made by a grammar: the text that needs no download.
//!
//! The source is a small English: subject, verb, object, adjectives before nouns, relative clauses, negation, future, adverbs of time. The target
//! has words of its own, three genders, and another order: the adverb first, the verb last, adjectives after their noun; articles and adjectives agree
//! with the noun in gender, number and case, verbs with the subject in gender and number. Gender is not to be seen in the source: it must be learned noun
//! by noun. Pair `i` of a part is a function of the seed, the part and `i` alone.

use serde::{Deserialize, Serialize};

use crate::Split;
use crate::random::{Purpose, Random};
use crate::text::Pair;

/// How many pairs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Pairs for training; default 20,000.
    pub training: usize,
    /// Pairs for validation; default 500.
    pub validation: usize,
    /// Seed of the sentences; default 0. The languages are the same.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { training: 20_000, validation: 500, seed: 0 }
    }
}

impl Options {
    /// The pairs of a part, in order.
    pub fn pairs(&self, split: Split) -> impl Iterator<Item = Pair> + Send + use<> {
        let (len, purpose) = match split {
            Split::Training => (self.training, Purpose::GeneratedTrainingText),
            Split::Validation => (self.validation, Purpose::GeneratedValidationText),
        };
        let seed = self.seed;
        (0..len).map(move |index| Sentence::new(&mut Random::new(seed, purpose, 0, index as u64)).pair())
    }
}

const NOUNS: [&str; 24] = [
    "dog", "cat", "horse", "bird", "baker", "farmer", "doctor", "teacher", "river", "house", "garden", "stone",
    "letter", "song", "ship", "king", "queen", "tower", "lamp", "coat", "bridge", "plum", "friend", "cloud",
];
const ADJECTIVES: [&str; 12] =
    ["tall", "young", "red", "green", "small", "heavy", "quiet", "loud", "bright", "cold", "clever", "strange"];
const VERBS: [&str; 14] = [
    "see", "hear", "follow", "find", "paint", "love", "fear", "visit", "help", "want", "remember", "lift", "greet",
    "draw",
];
const TIMES: [&str; 6] = ["today", "often", "never", "again", "soon", "tonight"];

/// A word of the target language: two or three syllables, others for every word of the source.
fn stem(kind: usize, number: usize) -> String {
    const SYLLABLES: [&str; 12] = ["ka", "mo", "ri", "tel", "su", "nan", "vo", "lip", "dra", "fe", "gu", "shi"];
    let first = [0, NOUNS.len(), NOUNS.len() + ADJECTIVES.len(), NOUNS.len() + ADJECTIVES.len() + VERBS.len()][kind];
    // 29 has no factor in common with the 144 pairs of syllables.
    let code = (first + number) * 29 % 144;
    let third = if kind == 0 { SYLLABLES[number * 5 % 12] } else { "" };
    [SYLLABLES[code % 12], SYLLABLES[code / 12], third].concat()
}

/// A noun with all that belongs to it.
struct Phrase {
    noun: usize,
    plural: bool,
    definite: bool,
    adjectives: Vec<usize>,
    /// `that VERB PHRASE`.
    clause: Option<Box<(usize, Phrase)>>,
}

impl Phrase {
    /// `depth` clauses may be within it.
    fn new(random: &mut Random, depth: usize) -> Self {
        let adjectives = (0..[0, 0, 1, 1, 2][random.below(5)]).map(|_| random.below(ADJECTIVES.len())).collect();
        let (noun, plural, definite) = (random.below(NOUNS.len()), random.coin(), random.coin());
        let clause = (depth > 0 && random.below(4) == 0)
            .then(|| Box::new((random.below(VERBS.len()), Self::new(random, depth - 1))));
        Self { noun, plural, definite, adjectives, clause }
    }

    /// 0 to 2. No rule: by the number of the noun, mixed.
    fn gender(&self) -> usize {
        (self.noun * self.noun + self.noun / 5) % 3
    }

    fn source(&self, words: &mut Vec<String>) {
        match (self.definite, self.plural) {
            (true, _) => words.push("the".into()),
            (false, true) => words.push("some".into()),
            (false, false) => words.push("a".into()),
        }
        words.extend(self.adjectives.iter().map(|&adjective| ADJECTIVES[adjective].into()));
        words.push(NOUNS[self.noun].to_string() + if self.plural { "s" } else { "" });
        if let Some((verb, object)) = self.clause.as_deref() {
            words.extend(["that".into(), inflected(*verb, self.plural)]);
            object.source(words);
        }
    }

    /// `case` is 0 for a subject, 1 for an object.
    fn target(&self, case: usize, words: &mut Vec<String>) {
        let gender = self.gender();
        let ending = ["o", "a", "u"][gender].to_string() + ["", "m"][case] + if self.plural { "i" } else { "" };
        if self.definite {
            words.push(format!("l{ending}"));
        }
        words.push(stem(0, self.noun) + if self.plural { "ne" } else { "" });
        words.extend(self.adjectives.iter().map(|&adjective| stem(1, adjective) + &ending));
        if let Some((verb, object)) = self.clause.as_deref() {
            words.push(format!("k{ending}"));
            object.target(1, words);
            words.push(conjugated(*verb, self));
        }
    }
}

/// A verb of the source: the third person.
fn inflected(verb: usize, plural: bool) -> String {
    VERBS[verb].to_string() + if plural { "" } else { "s" }
}

/// A verb of the target: it agrees with its subject.
fn conjugated(verb: usize, subject: &Phrase) -> String {
    stem(2, verb) + ["t", "s", "r"][subject.gender()] + if subject.plural { "en" } else { "" }
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Plain,
    Future,
    Negative,
}

struct Sentence {
    subject: Phrase,
    verb: usize,
    object: Phrase,
    mood: Mood,
    time: Option<usize>,
}

impl Sentence {
    fn new(random: &mut Random) -> Self {
        let (subject, object) = (Phrase::new(random, 1), Phrase::new(random, 1));
        let mood = [Mood::Plain, Mood::Plain, Mood::Future, Mood::Negative][random.below(4)];
        let time = random.coin().then(|| random.below(TIMES.len()));
        Self { subject, verb: random.below(VERBS.len()), object, mood, time }
    }

    fn pair(&self) -> Pair {
        Pair { source: self.source(), target: self.target() }
    }

    fn source(&self) -> String {
        let mut words = Vec::new();
        self.subject.source(&mut words);
        let verb = VERBS[self.verb].to_string();
        match self.mood {
            Mood::Plain => words.push(inflected(self.verb, self.subject.plural)),
            Mood::Future => words.extend(["will".into(), verb]),
            Mood::Negative if self.subject.plural => words.extend(["do".into(), "not".into(), verb]),
            Mood::Negative => words.extend(["does".into(), "not".into(), verb]),
        }
        self.object.source(&mut words);
        words.extend(self.time.map(|time| TIMES[time].into()));
        words.push(".".into());
        words.join(" ")
    }

    fn target(&self) -> String {
        let mut words: Vec<String> = self.time.map(|time| stem(3, time)).into_iter().collect();
        self.subject.target(0, &mut words);
        self.object.target(1, &mut words);
        let verb = conjugated(self.verb, &self.subject);
        match self.mood {
            Mood::Plain => words.push(verb),
            Mood::Future => words.push(format!("be{verb}")),
            Mood::Negative => words.extend([verb, "nok".into()]),
        }
        words.push(".".into());
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_of_the_target_are_all_different() {
        let kinds = [NOUNS.len(), ADJECTIVES.len(), VERBS.len(), TIMES.len()];
        let words: Vec<String> =
            kinds.iter().enumerate().flat_map(|(kind, &len)| (0..len).map(move |number| stem(kind, number))).collect();
        let different: HashSet<&String> = words.iter().collect();
        assert_eq!(different.len(), words.len(), "{words:?}");
    }

    #[test]
    fn genders_are_mixed() {
        let mut counts = [0; 3];
        for noun in 0..NOUNS.len() {
            let phrase = Phrase { noun, plural: false, definite: true, adjectives: vec![], clause: None };
            counts[phrase.gender()] += 1;
        }
        assert!(counts.iter().all(|&count| count >= 4), "{counts:?}");
    }
}
