//! Line charts as SVG, coloured by the page's style sheet.

use std::fmt::Write;

/// A chart of lines over a common axis.
pub struct Chart<'a> {
    pub title: String,
    pub x_label: &'a str,
    pub y_label: &'a str,
    /// Whether the vertical axis shows powers of two.
    pub log2: bool,
    pub series: Vec<Series>,
}

/// A line: `class` picks its colour and dashes, and lines of one class share a row of the legend.
pub struct Series {
    pub name: String,
    pub class: String,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 52.0;
/// Half of a label of the axis has room there.
const RIGHT: f64 = 20.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 40.0;
/// From one row of the legend to the next.
const ROW: f64 = 15.0;

/// Values from `low` to `high` drawn from `start` to `end`, with marks at round ones.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    step: f64,
}

impl Axis {
    /// An axis that spans `values`, widened to round ends, with about `marks` marks.
    fn around(values: impl Iterator<Item = f64>, start: f64, end: f64, marks: f64, whole: bool) -> Self {
        let (mut low, mut high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low < 1e-9 {
            (low, high) = (low - 1.0, high + 1.0);
        }
        let step = round_step((high - low) / marks, whole);
        // A figure of 100 that is a bit more is 100.
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        Self { low: first * step, high: last * step, start, end, step }
    }

    fn place(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|at| self.low + at as f64 * self.step)
    }
}

/// The least of 1, 2, 5 x a power of ten that is not below `least`.
fn round_step(least: f64, whole: bool) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least * 0.999);
    let step = step.unwrap_or(10.0 * power);
    if whole { step.max(1.0) } else { step }
}

impl Chart<'_> {
    /// The chart as an `<svg>` element.
    pub fn svg(&self) -> String {
        let finite: Vec<Vec<(f64, f64)>> = self.series.iter().map(|series| self.drawable(&series.points)).collect();
        let all = || finite.iter().flatten();
        let x = Axis::around(all().map(|point| point.0), LEFT, WIDTH - RIGHT, 5.0, true);
        let y = Axis::around(all().map(|point| point.1), HEIGHT - BOTTOM, TOP, 4.0, self.log2);
        let (legend, rows) = self.legend();
        // The first row has its place within the height; what is below moves down for the others.
        let down = ROW * rows.saturating_sub(1) as f64;
        let mut svg = format!(
            r#"<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"><text class="title" x="{LEFT}" y="16">{title}</text>{legend}<g transform="translate(0 {down})">"#,
            height = HEIGHT + down,
            title = escape(&self.title)
        );
        self.grid(&mut svg, &x, &y);
        for (series, points) in self.series.iter().zip(&finite) {
            let path: Vec<String> =
                points.iter().map(|point| format!("{:.1},{:.1}", x.place(point.0), y.place(point.1))).collect();
            if let [only] = path.as_slice() {
                let (cx, cy) = only.split_once(',').unwrap_or((only, "0"));
                let _ = write!(svg, r#"<circle class="{}" cx="{cx}" cy="{cy}" r="2.5"/>"#, series.class);
            }
            let _ = write!(svg, r#"<polyline class="{}" points="{}"/>"#, series.class, path.join(" "));
        }
        svg.push_str("</g></svg>");
        svg
    }

    /// The points that can be drawn, in the units of the vertical axis.
    fn drawable(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let placed = points.iter().map(|(x, y)| (*x, if self.log2 { y.log2() } else { *y }));
        placed.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    }

    /// The names of the lines, and in how many rows they stand.
    fn legend(&self) -> (String, usize) {
        let (mut svg, mut at, mut row) = (String::new(), LEFT, 0);
        let mut shown: Vec<&str> = Vec::new();
        for series in &self.series {
            if shown.contains(&series.name.as_str()) {
                continue;
            }
            shown.push(&series.name);
            let width = 23.0 + 6.0 * series.name.chars().count() as f64;
            if at > LEFT && at + width > WIDTH {
                (at, row) = (LEFT, row + 1);
            }
            let y = 30.0 + ROW * row as f64;
            let _ = write!(
                svg,
                r#"<line class="{}" x1="{at}" x2="{}" y1="{y}" y2="{y}"/><text x="{}" y="{}">{}</text>"#,
                series.class,
                at + 18.0,
                at + 23.0,
                y + 4.0,
                escape(&series.name)
            );
            at += width + 15.0;
        }
        (svg, row + 1)
    }

    fn grid(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for mark in y.marks() {
            let at = y.place(mark);
            let label = if self.log2 { power_of_two(mark) } else { number(mark, y.step) };
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{at:.1}" y2="{at:.1}"/><text class="y" x="{}" y="{:.1}">{label}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0
            );
        }
        for mark in x.marks() {
            let at = x.place(mark);
            let bottom = HEIGHT - BOTTOM;
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{bottom}" y2="{}"/><text class="x" x="{at:.1}" y="{}">{}</text>"#,
                bottom + 4.0,
                bottom + 16.0,
                number(mark, x.step)
            );
        }
        let _ = write!(
            svg,
            r#"<text class="x" x="{}" y="{}">{}</text><text class="x" transform="translate(12 {}) rotate(-90)">{}</text>"#,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0,
            escape(self.x_label),
            (TOP + HEIGHT - BOTTOM) / 2.0,
            escape(self.y_label)
        );
    }
}

/// `value` with the decimals that steps of `step` need.
fn number(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

fn power_of_two(exponent: f64) -> String {
    if (0.0..=16.0).contains(&exponent) { format!("{}", exponent.exp2()) } else { format!("2^{exponent}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// At most about `most` points: means of neighbours.
pub fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(most).max(1);
    let mean = |values: &mut dyn Iterator<Item = f64>, count| values.sum::<f64>() / count as f64;
    points
        .chunks(group)
        .map(|chunk| {
            let count = chunk.len();
            (mean(&mut chunk.iter().map(|point| point.0), count), mean(&mut chunk.iter().map(|point| point.1), count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, log2: bool) -> String {
        let series = vec![Series { name: "a<b".into(), class: "c0".into(), points }];
        Chart { title: "T".into(), x_label: "step", y_label: "loss", log2, series }.svg()
    }

    #[test]
    fn axes_end_at_round_values() {
        let axis = Axis::around([0.3, 97.0].into_iter(), 0.0, 100.0, 5.0, false);
        assert_eq!(axis.marks().collect::<Vec<_>>(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(axis.place(50.0), 50.0);
        let axis = Axis::around([0.2, 100.000_000_000_1].into_iter(), 0.0, 100.0, 4.0, false);
        assert_eq!(axis.marks().collect::<Vec<_>>(), [0.0, 50.0, 100.0]);
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        for points in [vec![], vec![(0.0, f64::NAN)], vec![(1.0, 2.0)], vec![(0.0, f64::INFINITY), (1.0, 5.0)]] {
            for log2 in [false, true] {
                let svg = chart(points.clone(), log2);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn a_long_legend_takes_more_rows() {
        let series = |name: &str| Series { name: name.into(), class: "c0".into(), points: vec![(0.0, 1.0)] };
        let svg = |names: &[&str]| {
            let series = names.iter().map(|name| series(name)).collect();
            Chart { title: "T".into(), x_label: "step", y_label: "loss", log2: false, series }.svg()
        };
        assert!(svg(&["fp32", "fp8"]).contains(r#"viewBox="0 0 420 260""#));
        let long = svg(&["fp8", "fp8, spurious overflows", "fp8, spurious overflows, enhanced"]);
        assert!(long.contains(r#"viewBox="0 0 420 275""#) && long.contains(r#"translate(0 15)"#), "{long}");
    }

    #[test]
    fn names_are_escaped() {
        assert!(chart(vec![(0.0, 1.0), (1.0, 2.0)], false).contains("a&lt;b"));
    }

    #[test]
    fn thinning_keeps_the_mean() {
        let points: Vec<_> = (0..10).map(|at| (at as f64, at as f64)).collect();
        assert_eq!(thinned(&points, 5), [(0.5, 0.5), (2.5, 2.5), (4.5, 4.5), (6.5, 6.5), (8.5, 8.5)]);
        assert_eq!(thinned(&points, 100), points);
        assert_eq!(thinned(&[], 100), []);
    }
}
