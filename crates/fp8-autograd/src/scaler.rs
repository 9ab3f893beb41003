//! Loss scaling: keeps errors above the smallest FP8 number and below the largest.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the loss scale moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossScaling {
    /// Never. Enough for convolutional networks, if large: the paper's ResNet-50 needs 10,000.
    Constant {
        /// The scale.
        scale: f32,
    },
    /// Doubles after `growth_interval` steps without overflow; halves, and the step is skipped, at an overflow.
    BackOff {
        /// The first scale.
        initial: f32,
        /// Clean steps before the scale doubles.
        growth_interval: u32,
    },
    /// Back-off that never falls below a floor which rises on a schedule (the paper's enhanced loss scaling), so that
    /// spurious overflows cannot push small errors into underflow.
    Enhanced {
        /// The first scale.
        initial: f32,
        /// Clean steps before the scale doubles.
        growth_interval: u32,
        /// (step, floor from that step on), by rising step.
        floors: Vec<(u64, f32)>,
    },
}

/// `constant 10000`, `back-off from 65536, doubles after 2000`, `enhanced from …, floors 8192 at 40000, …`.
impl fmt::Display for LossScaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant { scale } => write!(f, "constant {scale}"),
            Self::BackOff { initial, growth_interval } => {
                write!(f, "back-off from {initial}, doubles after {growth_interval}")
            }
            Self::Enhanced { initial, growth_interval, floors } => {
                write!(f, "enhanced from {initial}, doubles after {growth_interval}, floors")?;
                let mut separator = "";
                floors.iter().try_for_each(|(step, floor)| {
                    write!(f, "{separator} {floor} at {step}")?;
                    separator = ",";
                    Ok(())
                })
            }
        }
    }
}

/// Back-off does not leave this range of scales.
const SMALLEST: f32 = 1.0 / 65536.0;
const LARGEST: f32 = 4_294_967_296.0;

impl LossScaling {
    /// What is wrong with the numbers, if anything.
    pub fn check(&self) -> std::result::Result<(), String> {
        let scale = |what: &str, scale: f32| match scale.is_finite() && scale > 0.0 {
            true => Ok(()),
            false => Err(format!("{what} must be finite and above 0, not {scale}")),
        };
        match self {
            Self::Constant { scale: constant } => scale("scale", *constant),
            Self::BackOff { initial, growth_interval } | Self::Enhanced { initial, growth_interval, .. } => {
                scale("initial", *initial)?;
                if *growth_interval == 0 {
                    return Err("growth_interval must be at least 1".into());
                }
                self.floors().iter().try_for_each(|&(_, floor)| scale("a floor", floor))?;
                match self.floors().is_sorted_by(|a, b| a.0 < b.0) {
                    true => Ok(()),
                    false => Err("the steps of floors must rise".into()),
                }
            }
        }
    }

    fn floors(&self) -> &[(u64, f32)] {
        match self {
            Self::Enhanced { floors, .. } => floors,
            _ => &[],
        }
    }

    /// The least scale at `step`.
    fn floor(&self, step: u64) -> f32 {
        let reached = self.floors().iter().rev().find(|(from, _)| *from <= step);
        reached.map_or(SMALLEST, |&(_, floor)| floor)
    }
}

/// What a step did to the scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleEvent {
    /// The step.
    pub step: u64,
    /// Names of the tensors with Inf or NaN; empty in a clean step.
    pub overflowed: Vec<String>,
    /// The scale of this step.
    pub before: f32,
    /// The scale of the next step.
    pub after: f32,
}

/// A loss scale and how it moves: a pure state machine, one [`LossScaler::update`] a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScaler {
    scaling: LossScaling,
    state: ScalerState,
}

/// Where a [`LossScaler`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalerState {
    /// What the loss of the coming step is multiplied by.
    pub scale: f32,
    /// Steps without overflow since the scale last changed.
    pub clean: u32,
    /// Steps seen.
    pub step: u64,
}

impl LossScaler {
    /// At the first step.
    ///
    /// # Errors
    /// [`Error::Recipe`] with what [`LossScaling::check`] says.
    pub fn new(scaling: LossScaling) -> Result<Self> {
        scaling.check().map_err(|reason| Error::Recipe { field: "loss_scaling".into(), reason })?;
        let scale = match scaling {
            LossScaling::Constant { scale } => scale,
            LossScaling::BackOff { initial, .. } | LossScaling::Enhanced { initial, .. } => {
                initial.max(scaling.floor(0))
            }
        };
        Ok(Self { scaling, state: ScalerState { scale, clean: 0, step: 0 } })
    }

    /// What the loss of the coming step is multiplied by.
    pub fn scale(&self) -> f32 {
        self.state.scale
    }

    /// Steps seen.
    pub fn steps(&self) -> u64 {
        self.state.step
    }

    /// Where it stands, for checkpoints.
    pub fn state(&self) -> ScalerState {
        self.state
    }

    /// Goes on from where another stood.
    pub fn resume(&mut self, state: ScalerState) {
        self.state = state;
    }

    /// Takes in the step just done: the names of its tensors with Inf or NaN. If there were any, the step must have been
    /// skipped.
    pub fn update(&mut self, overflowed: Vec<String>) -> ScaleEvent {
        let Self { scaling, state } = self;
        let (step, before) = (state.step, state.scale);
        state.step += 1;
        if let LossScaling::BackOff { growth_interval, .. } | LossScaling::Enhanced { growth_interval, .. } = scaling {
            state.clean = if overflowed.is_empty() { state.clean + 1 } else { 0 };
            if !overflowed.is_empty() {
                state.scale /= 2.0;
            } else if state.clean == *growth_interval {
                state.clean = 0;
                state.scale *= 2.0;
            }
            state.scale = state.scale.min(LARGEST);
            let floor = scaling.floor(state.step);
            if state.scale < floor {
                // A change like any other: the steps before it do not count.
                (state.scale, state.clean) = (floor, 0);
            }
        }
        ScaleEvent { step, overflowed, before, after: state.scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scales of steps 0, 1, … where `x` marks an overflow.
    fn scales(scaling: LossScaling, steps: &str) -> Vec<f32> {
        let mut scaler = LossScaler::new(scaling).unwrap();
        let step = |mark| {
            let event = scaler.update(if mark == 'x' { vec!["fc.weight".into()] } else { Vec::new() });
            assert_eq!(event.overflowed.is_empty(), mark != 'x');
            event.before
        };
        steps.chars().map(step).collect()
    }

    #[test]
    fn resumed_it_goes_on() {
        let scaling = LossScaling::BackOff { initial: 8.0, growth_interval: 3 };
        let mut first = LossScaler::new(scaling.clone()).unwrap();
        first.update(Vec::new());
        let mut second = LossScaler::new(scaling).unwrap();
        second.resume(first.state());
        for _ in 0..4 {
            assert_eq!(first.update(Vec::new()), second.update(Vec::new()));
        }
        assert_eq!(second.scale(), 16.0);
    }

    #[test]
    fn constant_stays() {
        assert_eq!(scales(LossScaling::Constant { scale: 1e4 }, ".x."), [1e4; 3]);
    }

    #[test]
    fn back_off_doubles_after_clean_steps_and_halves_at_an_overflow() {
        let scaling = LossScaling::BackOff { initial: 8.0, growth_interval: 2 };
        assert_eq!(scales(scaling, "...x.xx..."), [8.0, 8.0, 16.0, 16.0, 8.0, 8.0, 4.0, 2.0, 2.0, 4.0]);
    }

    #[test]
    fn back_off_stays_in_range() {
        let scaling = LossScaling::BackOff { initial: LARGEST, growth_interval: 1 };
        assert_eq!(scales(scaling, "..."), [LARGEST; 3]);
        let scaling = LossScaling::BackOff { initial: SMALLEST, growth_interval: 1 };
        assert_eq!(scales(scaling, "xx"), [SMALLEST; 2]);
    }

    #[test]
    fn the_enhanced_floor_rises_on_schedule() {
        let scaling = LossScaling::Enhanced { initial: 4.0, growth_interval: 100, floors: vec![(2, 8.0), (5, 32.0)] };
        assert_eq!(scales(scaling, "xxxxxxx"), [4.0, 2.0, 8.0, 8.0, 8.0, 32.0, 32.0]);
        // Clean steps are counted from where the floor has lifted the scale.
        let scaling = LossScaling::Enhanced { initial: 4.0, growth_interval: 3, floors: vec![(2, 64.0)] };
        assert_eq!(scales(scaling, "......"), [4.0, 4.0, 64.0, 64.0, 64.0, 128.0]);
    }

    #[test]
    fn scalings_are_shown() {
        let scaling = LossScaling::Enhanced { initial: 4.0, growth_interval: 9, floors: vec![(2, 8.0), (5, 32.0)] };
        assert_eq!(scaling.to_string(), "enhanced from 4, doubles after 9, floors 8 at 2, 32 at 5");
        assert_eq!(LossScaling::Constant { scale: 1e4 }.to_string(), "constant 10000");
    }

    #[test]
    fn nonsense_is_refused() {
        let back_off = |initial, growth_interval| LossScaling::BackOff { initial, growth_interval };
        let enhanced = |floors| LossScaling::Enhanced { initial: 1.0, growth_interval: 1, floors };
        for scaling in [
            LossScaling::Constant { scale: 0.0 },
            LossScaling::Constant { scale: f32::NAN },
            back_off(f32::INFINITY, 1),
            back_off(1.0, 0),
            enhanced(vec![(5, 1.0), (5, 2.0)]),
            enhanced(vec![(5, -1.0)]),
        ] {
            assert!(LossScaler::new(scaling.clone()).is_err(), "{scaling:?}");
        }
    }
}
