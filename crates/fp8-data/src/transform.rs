//! From an image to the square of bytes that a model reads, normalised later: crop, resize, flip.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::{Error, Image, Result, Split};

/// What is cut out of an image, and becomes the square that a model sees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Crop {
    /// All of it, as it is: the image must have the size that is asked for.
    Whole,
    /// The image, which must have the size that is asked for, with `padding` black pixels on each side; from that, a square at a random place (He et
    /// al. 2015, section 4.2: 4 pixels for CIFAR).
    Padded {
        /// Pixels on each side.
        padding: usize,
    },
    /// A random rectangle, resized (Szegedy et al. 2014, section 6; as torchvision's `RandomResizedCrop`): after ten rectangles that do not fit into
    /// the image, the largest one in the middle whose aspect is allowed.
    Random {
        /// Its share of the image's area is uniform between these; usually 0.08 and 1.
        area: [f64; 2],
        /// The logarithm of its width divided by its height is uniform between those of these; usually 3/4 and 4/3.
        aspect: [f64; 2],
    },
    /// What remains in the middle when the image's shorter side is resized to `shorter` pixels and its borders are cut off; usually 256 for 224.
    Centre {
        /// The shorter side.
        shorter: usize,
    },
}

/// From an image to the square that a model sees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Rows and columns of what comes out.
    pub size: usize,
    /// What is cut out. Resizing is bilinear with antialiasing.
    pub crop: Crop,
    /// Whether every other image, at random, is mirrored left to right.
    pub flip: bool,
}

impl Transform {
    /// For images of `size` already: in training, padded by an eighth on each side, cropped at random, and mirrored every other time.
    pub fn small(size: usize, split: Split) -> Self {
        match split {
            Split::Training => Self { size, crop: Crop::Padded { padding: size / 8 }, flip: true },
            Split::Validation => Self { size, crop: Crop::Whole, flip: false },
        }
    }

    /// For photographs of any size: in training, a random rectangle, mirrored every other time; in validation, the middle, the shorter side resized to
    /// 8/7 of `size`.
    pub fn photograph(size: usize, split: Split) -> Self {
        match split {
            Split::Training => {
                let crop = Crop::Random { area: [0.08, 1.0], aspect: [3.0 / 4.0, 4.0 / 3.0] };
                Self { size, crop, flip: true }
            }
            Split::Validation => Self { size, crop: Crop::Centre { shorter: (size * 8).div_ceil(7) }, flip: false },
        }
    }

    /// Whether its fields make sense.
    pub fn check(&self) -> Result<()> {
        let wrong = |option, value: String, expected| Err(Error::Option { option, value, expected });
        if !(1..=4096).contains(&self.size) {
            return wrong("size", self.size.to_string(), "images have 1 to 4096 rows and columns");
        }
        match self.crop {
            Crop::Padded { padding } if padding > self.size => {
                wrong("padding", padding.to_string(), "it must not exceed the size")
            }
            Crop::Random { area: [low, high], .. } if !(0.0 < low && low <= high && high <= 1.0) => {
                wrong("area", format!("[{low}, {high}]"), "two ascending shares of the image, above 0 and up to 1")
            }
            Crop::Random { aspect: [low, high], .. } if !(0.0 < low && low <= high && high.is_finite()) => {
                wrong("aspect", format!("[{low}, {high}]"), "two ascending positive numbers")
            }
            Crop::Centre { shorter } if shorter < self.size || shorter > 16384 => {
                wrong("shorter", shorter.to_string(), "the shorter side must be at least the size, at most 16384")
            }
            _ => Ok(()),
        }
    }
}

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rectangle {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Rectangle {
    fn centred(width: f64, height: f64, image: &Image) -> Self {
        let (left, top) = ((image.width as f64 - width) / 2.0, (image.height as f64 - height) / 2.0);
        Self { left, top, width, height }
    }

    /// See [`Crop::Random`].
    fn random(area: [f64; 2], aspect: [f64; 2], image: &Image, random: &mut Random) -> Self {
        let (width, height) = (image.width as f64, image.height as f64);
        let between = |[low, high]: [f64; 2], at: f32| low + (high - low) * f64::from(at);
        for _ in 0..10 {
            let area = width * height * between(area, random.unit());
            let aspect = between(aspect.map(f64::ln), random.unit()).exp();
            let (w, h) = ((area * aspect).sqrt().round(), (area / aspect).sqrt().round());
            if (1.0..=width).contains(&w) && (1.0..=height).contains(&h) {
                let left = random.below((width - w) as usize + 1) as f64;
                let top = random.below((height - h) as usize + 1) as f64;
                return Self { left, top, width: w, height: h };
            }
        }
        let [low, high] = aspect;
        let w = width.min((height * high).round()).max(1.0);
        let h = height.min((width / low).round()).max(1.0);
        Self::centred(w, h, image)
    }
}

/// A [`Transform`] at work, with the memory that it needs: one for each thread.
pub struct Transformer {
    transform: Transform,
    channels: usize,
    resizer: Resizer,
    /// `(size, size, channels)`.
    square: Vec<u8>,
}

impl Transformer {
    /// For images of `channels` (1 or 3).
    pub fn new(transform: Transform, channels: usize) -> Result<Self> {
        transform.check()?;
        if channels != 1 && channels != 3 {
            return Err(Error::Option { option: "channels", value: channels.to_string(), expected: "1 or 3" });
        }
        let square = vec![0; transform.size * transform.size * channels];
        Ok(Self { transform, channels, resizer: Resizer::new(), square })
    }

    /// Bytes of an image that comes out: `size * size * channels`.
    pub fn output_len(&self) -> usize {
        self.square.len()
    }

    /// Writes `image` to `output`, `(size, size, channels)`. What chance decides is drawn from `random`.
    ///
    /// Panics unless `output` holds [`output_len`](Self::output_len) bytes.
    pub fn apply(&mut self, image: &Image, random: &mut Random, output: &mut [u8]) -> Result<()> {
        assert_eq!(output.len(), self.output_len(), "the output's length");
        let Image { height, width, channels, ref pixels } = *image;
        if channels != self.channels || height * width == 0 || pixels.len() != height * width * channels {
            let (bytes, expected) = (pixels.len(), self.channels);
            return Err(Error::ImageShape { height, width, channels, bytes, expected });
        }
        match self.transform.crop {
            Crop::Whole => self.shifted(image, 0, 0)?,
            Crop::Padded { padding } => {
                let shift = |at: usize| at as isize - padding as isize;
                let (down, right) = (random.below(2 * padding + 1), random.below(2 * padding + 1));
                self.shifted(image, shift(down), shift(right))?;
            }
            Crop::Random { area, aspect } => self.resized(image, Rectangle::random(area, aspect, image, random))?,
            Crop::Centre { shorter } => {
                let side = height.min(width) as f64 * self.transform.size as f64 / shorter as f64;
                self.resized(image, Rectangle::centred(side, side, image))?;
            }
        }
        let mirrored = self.transform.flip && random.coin();
        match mirrored {
            true => self.mirror(output),
            false => output.copy_from_slice(&self.square),
        }
        Ok(())
    }

    /// Puts the image's pixels, from row `down` and column `right` on, into the square; black where there is no image.
    fn shifted(&mut self, image: &Image, down: isize, right: isize) -> Result<()> {
        let size = self.transform.size;
        if image.height != size || image.width != size {
            return Err(Error::ImageSize { height: image.height, width: image.width, size });
        }
        let row_len = size * self.channels;
        let shift = right.unsigned_abs() * self.channels;
        for (row, target) in self.square.chunks_exact_mut(row_len).enumerate() {
            let source = row.checked_add_signed(down).filter(|&row| row < size);
            let Some(source) = source.map(|row| &image.pixels[row * row_len..][..row_len]) else {
                target.fill(0);
                continue;
            };
            if right >= 0 {
                target[..row_len - shift].copy_from_slice(&source[shift..]);
                target[row_len - shift..].fill(0);
            } else {
                target[shift..].copy_from_slice(&source[..row_len - shift]);
                target[..shift].fill(0);
            }
        }
        Ok(())
    }

    /// Resizes a rectangle of the image to the square.
    fn resized(&mut self, image: &Image, rectangle: Rectangle) -> Result<()> {
        let done = match self.channels {
            3 => resize(&mut self.resizer, image, &image.pixels, rectangle, self.transform.size, &mut self.square),
            // As three channels: the resizer is generic, and is compiled for one type of pixels only. Grey images are seldom resized.
            _ => {
                let tripled = |pixels: &[u8]| -> Vec<u8> { pixels.iter().flat_map(|&pixel| [pixel; 3]).collect() };
                let (source, mut square) = (tripled(&image.pixels), tripled(&self.square));
                let done = resize(&mut self.resizer, image, &source, rectangle, self.transform.size, &mut square);
                self.square.iter_mut().zip(square.chunks_exact(3)).for_each(|(grey, pixel)| *grey = pixel[0]);
                done
            }
        };
        done.ok_or(Error::ImageShape {
            height: image.height,
            width: image.width,
            channels: image.channels,
            bytes: image.pixels.len(),
            expected: self.channels,
        })
    }

    /// The square, left to right.
    fn mirror(&self, output: &mut [u8]) {
        let row_len = self.transform.size * self.channels;
        for (row, target) in self.square.chunks_exact(row_len).zip(output.chunks_exact_mut(row_len)) {
            let pixels = target.chunks_exact_mut(self.channels).rev();
            row.chunks_exact(self.channels).zip(pixels).for_each(|(source, target)| target.copy_from_slice(source));
        }
    }
}

/// Resizes a rectangle of `source`, which has the image's height and width and three channels, to a square. `None` when the image is larger than the
/// library takes.
fn resize(
    resizer: &mut Resizer,
    image: &Image,
    source: &[u8],
    Rectangle { left, top, width, height }: Rectangle,
    size: usize,
    square: &mut [u8],
) -> Option<()> {
    let source =
        TypedImageRef::<U8x3>::from_buffer(image.width.try_into().ok()?, image.height.try_into().ok()?, source);
    let size = size as u32;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, width, height)
        .use_alpha(false);
    resizer.resize_typed(&source.ok()?, &mut TypedImage::from_buffer(size, size, square).ok()?, &options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn random(index: u64) -> Random {
        Random::new(1, Purpose::Augmentation, 0, index)
    }

    /// Grey; each pixel is its column plus `per_row` times its row.
    fn ramp(height: usize, width: usize, per_row: usize) -> Image {
        let pixels = (0..height * width).map(|at| (at % width + at / width * per_row) as u8).collect();
        Image { height, width, channels: 1, pixels }
    }

    fn apply(transform: Transform, image: &Image, index: u64) -> Vec<f32> {
        let mut transformer = Transformer::new(transform, image.channels).unwrap();
        let mut output = vec![123; transformer.output_len()];
        transformer.apply(image, &mut random(index), &mut output).unwrap();
        output.into_iter().map(f32::from).collect()
    }

    /// Every place occurs, the border is black, and the mirror image of each occurs too.
    #[test]
    fn padded_crops_are_all_there() {
        let image = Image { pixels: (1..=9).collect(), ..ramp(3, 3, 3) };
        let pixel = |row: isize, column: isize| match (row, column) {
            (0..3, 0..3) => (row * 3 + column + 1) as f32,
            _ => 0.0,
        };
        let mut expected = Vec::new();
        for (down, right) in (-1..=1).flat_map(|down| (-1..=1).map(move |right| (down, right))) {
            let crop = |mirrored: bool| -> Vec<f32> {
                let column = |at: isize| right + if mirrored { 2 - at } else { at };
                (0..9).map(|at| pixel(down + at / 3, column(at % 3))).collect()
            };
            expected.extend([crop(false), crop(true)]);
        }
        let transform = Transform { size: 3, crop: Crop::Padded { padding: 1 }, flip: true };
        let found: Vec<Vec<f32>> = (0..600).map(|index| apply(transform, &image, index)).collect();
        assert!(found.iter().all(|crop| expected.contains(crop)));
        // Each is expected 33 times.
        assert!(expected.iter().all(|crop| found.iter().filter(|&found| found == crop).count() > 10));
    }

    #[test]
    fn the_centre_is_the_centre() {
        // Shorter side 8 to 8: nothing is resized.
        let transform = Transform { size: 4, crop: Crop::Centre { shorter: 8 }, flip: false };
        let output = apply(transform, &ramp(8, 16, 16), 0);
        let expected: Vec<f32> = (0..16).map(|at| (6 + at % 4 + (2 + at / 4) * 16) as f32).collect();
        assert_eq!(output, expected);
        // Halved: means of neighbours, up to the filter's symmetric tails and rounding.
        let halved = apply(Transform { size: 4, crop: Crop::Centre { shorter: 4 }, flip: false }, &ramp(8, 8, 0), 0);
        for row in halved.chunks(4) {
            for (column, value) in row.iter().enumerate() {
                assert!((value - (2.0 * column as f32 + 0.5)).abs() <= 0.6, "{halved:?}");
            }
        }
    }

    #[test]
    fn grey_is_resized_as_colour_is() {
        let grey = ramp(23, 37, 5);
        let pixels = grey.pixels.iter().flat_map(|&pixel| [pixel, 255 - pixel, 7]).collect();
        let colour = Image { pixels, channels: 3, ..grey };
        let transform = Transform::photograph(8, Split::Training);
        for index in 0..20 {
            let (one, three) = (apply(transform, &grey, index), apply(transform, &colour, index));
            assert_eq!(one, three.iter().copied().step_by(3).collect::<Vec<_>>());
            assert!(three.chunks(3).all(|pixel| pixel[2] == 7.0));
        }
    }

    #[test]
    fn random_rectangles_lie_inside_and_keep_their_bounds() {
        let (area, aspect) = ([0.08, 1.0], [0.75, 4.0 / 3.0]);
        let image = ramp(60, 90, 1);
        let mut shares = Vec::new();
        for index in 0..4000 {
            let found = Rectangle::random(area, aspect, &image, &mut random(index));
            assert!(found.left >= 0.0 && found.left + found.width <= 90.0, "{found:?}");
            assert!(found.top >= 0.0 && found.top + found.height <= 60.0, "{found:?}");
            let share = found.width * found.height / 5400.0;
            assert!((0.07..=0.94).contains(&share), "{found:?}"); // the largest: 60 by 80
            let ratio = found.width / found.height;
            assert!(ratio > 0.75 - 0.06 && ratio < 4.0 / 3.0 + 0.09, "{found:?}");
            shares.push(share);
        }
        // Uniform from 0.08 to about 0.75, thinner above.
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((0.38..0.48).contains(&mean), "{mean}");
    }

    #[test]
    fn extreme_images_give_the_middle() {
        let wide = Rectangle::random([0.5, 1.0], [0.75, 4.0 / 3.0], &ramp(10, 200, 0), &mut random(0));
        assert_eq!(wide, Rectangle { left: 93.5, top: 0.0, width: 13.0, height: 10.0 });
        let one = Transform { size: 5, ..Transform::photograph(5, Split::Training) };
        assert_eq!(apply(one, &Image { pixels: vec![7], ..ramp(1, 1, 0) }, 0), [7.0; 25]);
    }

    #[test]
    fn images_that_do_not_fit_are_errors() {
        let small = Transform::small(32, Split::Validation);
        let mut transformer = Transformer::new(small, 1).unwrap();
        let mut output = vec![0; 1024];
        let mut message =
            |image: Image| transformer.apply(&image, &mut random(0), &mut output).unwrap_err().to_string();
        assert!(message(ramp(32, 31, 0)).contains("32x31 where 32x32"));
        assert!(message(Image { channels: 3, ..ramp(32, 32, 0) }).contains("32x32x3 with 1024 bytes"));
        assert!(message(ramp(0, 32, 0)).contains("0x32x1"));
    }

    #[test]
    fn senseless_transformations_are_refused() {
        let refused = |size, crop, word: &str| {
            let error = Transform { size, crop, flip: false }.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(0, Crop::Whole, "size = 0");
        refused(8, Crop::Padded { padding: 9 }, "padding = 9");
        refused(8, Crop::Random { area: [0.0, 1.0], aspect: [1.0, 1.0] }, "area = [0, 1]");
        refused(8, Crop::Random { area: [0.5, f64::NAN], aspect: [1.0, 1.0] }, "area = [0.5, NaN]");
        refused(8, Crop::Random { area: [0.5, 1.0], aspect: [2.0, 1.0] }, "aspect = [2, 1]");
        refused(8, Crop::Centre { shorter: 7 }, "shorter = 7");
    }
}
