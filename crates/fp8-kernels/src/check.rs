//! What arguments must be, checked before anything is written: the same for every backend.

use std::borrow::Cow;

use crate::{
    AdditiveAttention, Attention, Buffer, Conv2d, CrossEntropy, DType, Error, LayerNorm, Lstm, Pool2d, Result, Store,
};

/// Where a backend's buffers are, and what its kernels take for them.
pub trait Place: Copy {
    /// A buffer that is read.
    type Input<'a>;
    /// A buffer that is written.
    type Output<'a>;

    /// Name of the backend, for messages.
    fn backend(self) -> String;

    /// `None` where the buffer lives elsewhere.
    fn input<'a>(self, buffer: &'a Buffer) -> Option<Self::Input<'a>>;

    /// `None` where the buffer lives elsewhere.
    fn output<'a>(self, buffer: &'a mut Buffer) -> Option<Self::Output<'a>>;

    /// The elements of a buffer of U32 that lives here.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn numbers<'a>(self, buffer: &'a Buffer) -> Result<Cow<'a, [u32]>>;
}

/// The arguments of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Op<P> {
    /// Its name, as in messages.
    pub name: &'static str,
    /// Where its buffers must be.
    pub place: P,
}

impl<P: Place> Op<P> {
    /// A floating operand of `len` elements.
    ///
    /// # Errors
    /// [`Error::Type`], [`Error::Length`], [`Error::Device`].
    pub fn float<'a>(self, what: &'static str, buffer: &'a Buffer, len: usize) -> Result<P::Input<'a>> {
        self.typed(what, buffer, len, DType::is_float)?;
        self.here(what, self.place.input(buffer))
    }

    /// A floating operand that may be absent.
    ///
    /// # Errors
    /// As [`Op::float`].
    pub fn optional<'a>(
        self,
        what: &'static str,
        buffer: Option<&'a Buffer>,
        len: usize,
    ) -> Result<Option<P::Input<'a>>> {
        buffer.map(|buffer| self.float(what, buffer, len)).transpose()
    }

    /// An operand of one type.
    ///
    /// # Errors
    /// As [`Op::float`].
    pub fn exactly<'a>(self, what: &'static str, buffer: &'a Buffer, dtype: DType, len: usize) -> Result<P::Input<'a>> {
        self.typed(what, buffer, len, |found| found == dtype)?;
        self.here(what, self.place.input(buffer))
    }

    /// An output of one type.
    ///
    /// # Errors
    /// As [`Op::float`].
    pub fn exactly_mut<'a>(
        self,
        what: &'static str,
        buffer: &'a mut Buffer,
        dtype: DType,
        len: usize,
    ) -> Result<P::Output<'a>> {
        self.typed(what, buffer, len, |found| found == dtype)?;
        self.here(what, self.place.output(buffer))
    }

    /// An output stored as `store` says.
    ///
    /// # Errors
    /// As [`Op::float`].
    pub fn output<'a>(
        self,
        what: &'static str,
        buffer: &'a mut Buffer,
        store: &Store,
        len: usize,
    ) -> Result<P::Output<'a>> {
        if !store.dtype.is_float() {
            return Err(Error::Type { op: self.name, what, found: store.dtype });
        }
        self.exactly_mut(what, buffer, store.dtype, len)
    }

    /// U32 (len), each of which `fits`; `limit` says what that is.
    ///
    /// # Errors
    /// As [`Op::float`]; [`Error::Shape`] names the first that does not fit.
    pub fn numbers<'a>(
        self,
        what: &'static str,
        buffer: &'a Buffer,
        len: usize,
        fits: impl Fn(usize) -> bool,
        limit: impl Fn() -> String,
    ) -> Result<Cow<'a, [u32]>> {
        self.exactly(what, buffer, DType::U32, len)?;
        let numbers = self.place.numbers(buffer)?;
        match numbers.iter().position(|number| !fits(*number as usize)) {
            Some(row) => Err(self.shape(format!("{what}: {} of row {row} is not {}", numbers[row], limit()))),
            None => Ok(numbers),
        }
    }

    /// The product of the sizes of a shape; sums and offsets of it must not overflow either.
    ///
    /// # Errors
    /// [`Error::Shape`] where it is more than 2^32 - 1.
    pub fn len(self, sizes: &[usize]) -> Result<usize> {
        let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        product
            .filter(|len| *len <= u32::MAX as usize)
            .ok_or_else(|| self.shape(format!("{sizes:?} has too many elements")))
    }

    /// A shape that makes no sense unless `holds`.
    ///
    /// # Errors
    /// [`Error::Shape`] with the reason.
    pub fn require(self, holds: bool, reason: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(self.shape(reason())) }
    }

    /// [`Error::Shape`] of this operation.
    pub fn shape(self, reason: String) -> Error {
        Error::Shape { op: self.name, reason }
    }

    fn typed(self, what: &'static str, buffer: &Buffer, len: usize, takes: impl Fn(DType) -> bool) -> Result<()> {
        let dtype = buffer.dtype();
        if !takes(dtype) {
            return Err(Error::Type { op: self.name, what, found: dtype });
        }
        if buffer.len() != len {
            return Err(Error::Length { op: self.name, what, expected: len, found: buffer.len() });
        }
        Ok(())
    }

    fn here<T>(self, what: &'static str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| Error::Device { op: self.name, what, backend: self.place.backend() })
    }
}

/// Elements of the operands of shapes that make sense.
///
/// # Errors
/// All: [`Error::Shape`].
impl<P: Place> Op<P> {
    /// Of x, w and y.
    pub fn conv2d(self, conv: &Conv2d) -> Result<[usize; 3]> {
        let (&[h, w], &[kh, kw]) = (&conv.input, &conv.kernel);
        self.require(conv.stride > 0 && kh > 0 && kw > 0, || format!("stride and kernel must not be zero: {conv:?}"))?;
        let padded = |size: usize| conv.padding.checked_mul(2).and_then(|padding| size.checked_add(padding));
        self.require(padded(h) >= Some(kh) && padded(w) >= Some(kw), || {
            format!("the kernel {kh}x{kw} is larger than the input {h}x{w} with padding {}", conv.padding)
        })?;
        self.require(conv.stride <= usize::MAX >> 32, || format!("the stride is too large: {conv:?}"))?;
        let [oh, ow] = conv.output();
        Ok([
            self.len(&[conv.batch, h, w, conv.in_channels])?,
            self.len(&[conv.out_channels, kh, kw, conv.in_channels])?,
            self.len(&[conv.batch, oh, ow, conv.out_channels])?,
        ])
    }

    /// Of x and y.
    pub fn pool2d(self, pool: &Pool2d) -> Result<[usize; 2]> {
        let [h, w] = pool.input;
        self.require(pool.stride > 0 && (1..=15).contains(&pool.kernel), || {
            format!("the stride must not be zero and the kernel 1 to 15: {pool:?}")
        })?;
        self.require(pool.padding <= pool.kernel / 2, || {
            format!("the padding is more than half of the kernel: {pool:?}")
        })?;
        self.require(h.min(w) > 0 && h.min(w).saturating_add(2 * pool.padding) >= pool.kernel, || {
            format!("the kernel {0}x{0} is larger than the input {h}x{w} with padding {1}", pool.kernel, pool.padding)
        })?;
        self.require(pool.stride <= usize::MAX >> 32, || format!("the stride is too large: {pool:?}"))?;
        let [oh, ow] = pool.output();
        Ok([self.len(&[pool.batch, h, w, pool.channels])?, self.len(&[pool.batch, oh, ow, pool.channels])?])
    }

    /// Of q, k, values and y.
    pub fn additive_attention(self, shape: &AdditiveAttention) -> Result<[usize; 4]> {
        let &AdditiveAttention { queries, keys, batch, width, value_width } = shape;
        self.require(width > 0, || "scores of no elements".into())?;
        self.require(keys > 0 || batch == 0, || "attention to no keys".into())?;
        Ok([
            self.len(&[queries, batch, width])?,
            self.len(&[keys, batch, width])?,
            self.len(&[keys, batch, value_width])?,
            self.len(&[queries, batch, value_width])?,
        ])
    }

    /// Of q and y, and of k and values.
    pub fn attention(self, shape: &Attention) -> Result<[usize; 2]> {
        let &Attention { queries, keys, batch, heads, head_width, causal } = shape;
        self.require(heads > 0 && head_width > 0, || format!("{heads} heads {head_width} wide"))?;
        self.require(keys > 0 || batch == 0, || "attention to no keys".into())?;
        self.require(!causal || keys >= queries, || format!("causal, with {queries} queries and {keys} keys"))?;
        Ok([self.len(&[queries, batch, heads, head_width])?, self.len(&[keys, batch, heads, head_width])?])
    }

    /// Of x.
    pub fn layer_norm(self, norm: &LayerNorm) -> Result<usize> {
        self.require(norm.width > 0, || "rows of no elements".into())?;
        self.len(&[norm.rows, norm.width])
    }

    /// Of x, of h, and of the cell states.
    pub fn lstm(self, lstm: &Lstm) -> Result<[usize; 3]> {
        let &Lstm { steps, batch, input, hidden, .. } = lstm;
        self.require(hidden > 0, || "a state of no elements".into())?;
        self.len(&[steps, batch, 4, hidden])?;
        Ok([
            self.len(&[steps, batch, input])?,
            self.len(&[steps, batch, hidden])?,
            self.len(&[lstm.segments(), batch, hidden])?,
        ])
    }
}

/// Numbers that kernels follow.
///
/// # Errors
/// All: as [`Op::numbers`].
impl<P: Place> Op<P> {
    /// The targets of a cross-entropy: classes, or none.
    pub fn classes<'a>(self, spec: &CrossEntropy, targets: &'a Buffer) -> Result<Cow<'a, [u32]>> {
        self.exactly("targets", targets, DType::U32, spec.rows)?;
        let targets = self.place.numbers(targets)?;
        let wrong = |target: &u32| *target as usize >= spec.classes && *target != CrossEntropy::IGNORED;
        match targets.iter().position(wrong) {
            Some(row) => Err(self.shape(format!("target {} of row {row} is not below {}", targets[row], spec.classes))),
            None => Ok(targets),
        }
    }

    /// How many of `keys` each of `batch` sequences has: at least one.
    pub fn key_lengths<'a>(
        self,
        lengths: Option<&'a Buffer>,
        batch: usize,
        keys: usize,
    ) -> Result<Option<Cow<'a, [u32]>>> {
        let limit = || format!("from 1 to {keys}");
        let fits = |length| (1..=keys).contains(&length);
        lengths.map(|lengths| self.numbers("lengths", lengths, batch, fits, limit)).transpose()
    }

    /// The steps of each sequence, none more than there are.
    pub fn step_lengths<'a>(self, lstm: &Lstm, lengths: Option<&'a Buffer>) -> Result<Option<Cow<'a, [u32]>>> {
        let Some(lengths) = lengths else { return Ok(None) };
        self.exactly("lengths", lengths, DType::U32, lstm.batch)?;
        let lengths = self.place.numbers(lengths)?;
        match lengths.iter().position(|length| *length as usize > lstm.steps) {
            Some(row) => {
                Err(self.shape(format!("sequence {row} has {} steps, there are {}", lengths[row], lstm.steps)))
            }
            None => Ok(Some(lengths)),
        }
    }
}
