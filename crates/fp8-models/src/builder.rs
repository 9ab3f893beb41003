//! Parameters with their first values.

use fp8_autograd::{Kind, ParameterId, Parameters};

use crate::Result;
use crate::initial::Random;

/// Adds parameters; what is random depends on the seed and the parameter's name.
pub(crate) struct Builder<'a> {
    pub parameters: &'a mut Parameters,
    pub seed: u64,
}

impl Builder<'_> {
    /// Uniform within `limit`.
    pub fn uniform(&mut self, name: &str, kind: Kind, shape: &[usize], limit: f64) -> Result<ParameterId> {
        let mut random = Random::new(self.seed, name);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.uniform(limit)).collect();
        Ok(self.parameters.add(name, kind, shape, &values)?)
    }

    /// All the same.
    pub fn constant(&mut self, name: &str, kind: Kind, shape: &[usize], value: f32) -> Result<ParameterId> {
        Ok(self.parameters.add(name, kind, shape, &vec![value; shape.iter().product()])?)
    }

    /// Weight (outputs, inputs) and bias (outputs), uniform within `limit`.
    pub fn linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        limit: f64,
    ) -> Result<(ParameterId, ParameterId)> {
        let weight = self.uniform(&format!("{name}.weight"), Kind::Weight, &[outputs, inputs], limit)?;
        Ok((weight, self.uniform(&format!("{name}.bias"), Kind::Bias, &[outputs], limit)?))
    }
}
