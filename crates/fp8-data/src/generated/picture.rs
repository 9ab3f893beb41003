//! A shape becomes a picture: colours, place, rotation, clutter, noise.

use super::shape::Shape;
use crate::random::Random;

type Color = [f32; 3];

/// By how much a shape is brighter than the middle of what is behind it, at least: were it darker in every other image, the mean image of
/// each class would be the same, and a network would need thousands of steps to begin.
const CONTRAST: f32 = 0.3;

/// The pixels of a picture of `shape`, `(size, size, 3)`.
pub fn draw(shape: Shape, size: usize, random: &mut Random) -> Vec<u8> {
    let ground = Ground::new(random);
    let clutter: Vec<Clutter> = (0..random.below(3)).map(|_| Clutter::new(random)).collect();
    let figure = Figure::new(shape, &ground, random);
    let noise = random.between(0.02, 0.1);
    let mut pixels = Vec::with_capacity(size * size * 3);
    for row in 0..size {
        for column in 0..size {
            let color = average(row, column, size, |x, y| {
                if figure.holds(x, y) {
                    return figure.color;
                }
                clutter
                    .iter()
                    .find(|clutter| clutter.holds(x, y))
                    .map_or_else(|| ground.color(x, y), |clutter| clutter.color)
            });
            pixels.extend(color.map(|value| byte(value + noise * random.bell())));
        }
    }
    pixels
}

/// Mean of the colours at four points of a pixel; the picture spans -1 to 1 both ways.
fn average(row: usize, column: usize, size: usize, color: impl Fn(f32, f32) -> Color) -> Color {
    let at = |pixel: usize, quarter: f32| (pixel as f32 + quarter) * (2.0 / size as f32) - 1.0;
    let mut sum = [0.0; 3];
    for (down, right) in [(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)] {
        let sample = color(at(column, right), at(row, down));
        sum = std::array::from_fn(|channel| sum[channel] + sample[channel]);
    }
    sum.map(|value| value / 4.0)
}

fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8 // saturates
}

fn any_color(random: &mut Random) -> Color {
    std::array::from_fn(|_| random.unit())
}

fn brightness(color: Color) -> f32 {
    0.3 * color[0] + 0.6 * color[1] + 0.1 * color[2]
}

/// A gradient of colours.
struct Ground {
    middle: Color,
    slope: Color,
    direction: [f32; 2],
}

impl Ground {
    fn new(random: &mut Random) -> Self {
        let slope = std::array::from_fn(|_| random.between(-0.15, 0.15));
        let middle = std::array::from_fn(|_| random.between(0.0, 0.5));
        Self { middle, slope, direction: random.direction() }
    }

    fn color(&self, x: f32, y: f32) -> Color {
        let along = x * self.direction[0] + y * self.direction[1];
        std::array::from_fn(|channel| self.middle[channel] + along * self.slope[channel])
    }
}

/// A bar or a blob that means nothing.
struct Clutter {
    place: Placement,
    half: [f32; 2],
    round: bool,
    color: Color,
}

impl Clutter {
    fn new(random: &mut Random) -> Self {
        let place = Placement::new(random, 0.95, 1.0);
        let half = [random.between(0.08, 0.4), random.between(0.05, 0.12)];
        Self { place, half, round: random.coin(), color: any_color(random) }
    }

    fn holds(&self, x: f32, y: f32) -> bool {
        let [x, y] = self.place.inside(x, y);
        let (x, y) = (x / self.half[0], y / self.half[1]);
        if self.round { x * x + y * y < 1.0 } else { x.abs().max(y.abs()) < 1.0 }
    }
}

/// What the picture is about.
struct Figure {
    shape: Shape,
    /// Of a texture: what it is cut out in.
    outline: Shape,
    frequency: f32,
    place: Placement,
    color: Color,
}

impl Figure {
    fn new(shape: Shape, ground: &Ground, random: &mut Random) -> Self {
        let radius = random.between(0.6, 0.9);
        let place = Placement::new(random, 1.0 - radius, radius);
        let outline = if random.coin() { Shape::Disc } else { Shape::Square };
        // At least about four pixels of 32 for a period.
        let frequency = random.between(1.4, 2.2).min(3.9 * radius);
        let color = loop {
            let color = any_color(random);
            if brightness(color) - brightness(ground.middle) > CONTRAST {
                break color;
            }
        };
        Self { shape, outline, frequency, place, color }
    }

    fn holds(&self, x: f32, y: f32) -> bool {
        let [x, y] = self.place.inside(x, y);
        self.shape.holds(x, y, self.frequency) && (!self.shape.is_texture() || self.outline.holds(x, y, self.frequency))
    }
}

/// Cosine and sine of at most half a radian.
fn tilt(random: &mut Random) -> [f32; 2] {
    let slope = random.between(-0.55, 0.55);
    let cosine = 1.0 / (1.0 + slope * slope).sqrt();
    [cosine, slope * cosine]
}

/// Where something lies, how it is turned, how large it is.
struct Placement {
    centre: [f32; 2],
    turn: [f32; 2],
    scale: [f32; 2],
}

impl Placement {
    /// The centre at most `reach` from the middle, each way; size `radius`, stretched a little.
    fn new(random: &mut Random, reach: f32, radius: f32) -> Self {
        let stretch = random.between(0.85, 1.0);
        Self {
            centre: [random.between(-reach, reach), random.between(-reach, reach)],
            turn: tilt(random),
            scale: [1.0 / radius, 1.0 / (radius * stretch)],
        }
    }

    /// The coordinates of a point as seen from there.
    fn inside(&self, x: f32, y: f32) -> [f32; 2] {
        let (x, y) = (x - self.centre[0], y - self.centre[1]);
        let [cosine, sine] = self.turn;
        [(cosine * x + sine * y) * self.scale[0], (cosine * y - sine * x) * self.scale[1]]
    }
}
