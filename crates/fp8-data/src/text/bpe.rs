//! Byte-pair encoding (Sennrich et al. 2016), learned on the text that is to be translated.

use sha2::{Digest, Sha256};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::{Error, Result};

/// Fills a batch where a sentence is shorter than the longest.
pub const PAD: u32 = 0;
/// Stands before the first word of a translation.
pub const BOS: u32 = 1;
/// Ends a sentence.
pub const EOS: u32 = 2;
/// A character that was not in the text of training.
pub const UNK: u32 = 3;

/// By their numbers.
const SPECIAL: [&str; 4] = ["<pad>", "<s>", "</s>", "<unk>"];

/// A vocabulary of pieces of words, common to both languages.
///
/// Text is put in NFC, spaces become part of the word that follows (`▁`), punctuation stands alone; so `decode` undoes `encode` but for NFC, characters
/// that are unknown and white space at the end. What looks like a special token in a text is text.
pub struct Bpe {
    tokenizer: Tokenizer,
    json: String,
    digest: String,
}

impl Bpe {
    /// Learns at most `size` pieces (the special tokens are four of them; all characters of the text are among them, so there may be more).
    ///
    /// The same lines give the same pieces. Lines are counted one by one: only their different words are kept in memory.
    pub fn learn(lines: impl Iterator<Item = Result<String>> + Send, size: usize) -> Result<Self> {
        let model = BPE::builder().unk_token(SPECIAL[UNK as usize].into()).build().map_err(problem)?;
        let space = Metaspace::new('▁', PrependScheme::Always, true);
        let mark = Punctuation::new(SplitDelimiterBehavior::Isolated);
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_normalizer(Some(NFC));
        tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![space.clone().into(), mark.into()])));
        tokenizer.with_decoder(Some(space));
        let special = SPECIAL.map(|token| AddedToken::from(token, true));
        let trainer = BpeTrainer::builder().vocab_size(size).show_progress(false).special_tokens(special.into());
        let mut failed = None;
        let readable = lines.map_while(|line| line.map_err(|error| failed = Some(error)).ok());
        let mut trainer: TrainerWrapper = trainer.build().into();
        tokenizer.train(&mut trainer, readable).map_err(problem)?;
        match failed {
            Some(error) => Err(error),
            None => Self::parse(&tokenizer.to_string(false).map_err(problem)?),
        }
    }

    /// One that [`json`](Self::json) gave.
    pub fn parse(json: &str) -> Result<Self> {
        let mut tokenizer: Tokenizer = json.parse().map_err(problem)?;
        tokenizer.set_encode_special_tokens(true);
        for (number, token) in SPECIAL.iter().enumerate() {
            if tokenizer.token_to_id(token) != Some(number as u32) {
                return Err(Error::Tokenizer { problem: format!("{token} is not number {number}") });
            }
        }
        let digest = Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { tokenizer, json: json.into(), digest })
    }

    /// One that [`json`](Self::json) gave, whose digest must be `expected`.
    pub fn parse_checked(json: &str, expected: &str) -> Result<Self> {
        let bpe = Self::parse(json)?;
        if bpe.digest != expected {
            return Err(Error::OtherTokenizer { expected: expected.into(), found: bpe.digest });
        }
        Ok(bpe)
    }

    /// The whole of it, to be kept beside the weights: the format of Hugging Face's `tokenizer.json`.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// SHA-256 of [`json`](Self::json), hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Number of pieces.
    pub fn size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The pieces of a line, without BOS and EOS. None for an empty line.
    pub fn encode(&self, line: &str) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode_fast(line, false).map_err(problem)?.get_ids().to_vec())
    }

    /// The pieces of a line that a model with `limit` positions is to translate, EOS among them.
    pub fn encode_within(&self, line: &str, limit: usize) -> Result<Vec<u32>> {
        let mut tokens = self.encode(line)?;
        tokens.push(EOS);
        if tokens.len() > limit {
            return Err(Error::LongSentence { tokens: tokens.len(), limit });
        }
        Ok(tokens)
    }

    /// The text of pieces, special tokens left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.tokenizer.decode(tokens, true).map_err(problem)
    }
}

fn problem(error: tokenizers::Error) -> Error {
    Error::Tokenizer { problem: error.to_string() }
}
