//! The ten classes: sets of points of the plane.

/// A class of generated images. Each lies within the unit disc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Disc,
    Ring,
    Square,
    Triangle,
    Star,
    Cross,
    Crescent,
    Stripes,
    Checks,
    Dots,
}

/// Apothem and circumradius of a regular triangle are 1 to 2: its sides face these directions.
const TRIANGLE_SIDES: [[f32; 2]; 3] = [[0.0, -1.0], [0.866_025_4, 0.5], [-0.866_025_4, 0.5]];

/// Directions of a five-pointed star's five lines: 90 degrees and every 72 from there.
const STAR_LINES: [[f32; 2]; 5] = [
    [0.0, 1.0],
    [-0.951_056_5, 0.309_017],
    [-0.587_785_25, -0.809_017],
    [0.587_785_25, -0.809_017],
    [0.951_056_5, 0.309_017],
];

impl Shape {
    /// By label.
    pub const ALL: [Self; 10] = [
        Self::Disc,
        Self::Ring,
        Self::Square,
        Self::Triangle,
        Self::Star,
        Self::Cross,
        Self::Crescent,
        Self::Stripes,
        Self::Checks,
        Self::Dots,
    ];

    /// Lower-case name.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether the class is a texture, which says nothing of the outline.
    pub fn is_texture(self) -> bool {
        matches!(self, Self::Stripes | Self::Checks | Self::Dots)
    }

    /// Whether (x, y) belongs to it. A texture repeats `frequency` times a unit.
    pub fn holds(self, x: f32, y: f32, frequency: f32) -> bool {
        let radius = |x: f32, y: f32| (x * x + y * y).sqrt();
        let cell = |t: f32| t * frequency - (t * frequency).floor();
        match self {
            Self::Disc => radius(x, y) < 0.8,
            Self::Ring => (0.55..0.9).contains(&radius(x, y)),
            Self::Square => x.abs().max(y.abs()) < 0.7,
            Self::Triangle => TRIANGLE_SIDES.iter().all(|[a, b]| a * x + b * y < 0.5),
            // In the pentagram lies what is outside of at most one of its five lines.
            Self::Star => STAR_LINES.iter().filter(|[a, b]| a * x + b * y > 0.31).count() <= 1,
            Self::Cross => x.abs().min(y.abs()) < 0.27 && x.abs().max(y.abs()) < 0.9,
            Self::Crescent => radius(x, y) < 0.9 && radius(x - 0.45, y) > 0.7,
            Self::Stripes => cell(x) < 0.5,
            Self::Checks => (cell(x) < 0.5) == (cell(y) < 0.5),
            Self::Dots => radius(cell(x) - 0.5, cell(y) - 0.5) < 0.32,
        }
    }
}
