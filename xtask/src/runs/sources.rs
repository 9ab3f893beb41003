//! Where runs come from. Each has the provenance of the command that made it: later ones may go on in the same folder, elsewhere and by other code.

use super::{Failure, Run};
use crate::provenance::Provenance;

/// Names and values, for reports: of each command that made some of the runs, which are named where there is more than one. `last` is that of the
/// whole file.
pub fn sources(last: &Provenance, runs: &[Run], failures: &[Failure]) -> Vec<(&'static str, String)> {
    let made = runs.iter().map(|run| (&run.name, &run.provenance));
    let failed = failures.iter().map(|failure| (&failure.run, &failure.provenance));
    let mut sources: Vec<(&Provenance, Vec<&str>)> = Vec::new();
    for (name, provenance) in made.chain(failed) {
        let provenance = provenance.as_ref().unwrap_or(last);
        match sources.iter_mut().find(|(known, _)| *known == provenance) {
            Some((_, names)) => names.push(name),
            None => sources.push((provenance, vec![name])),
        }
    }
    let named = |(provenance, names): &(&Provenance, Vec<&str>)| {
        [("Runs", names.join(", "))].into_iter().chain(provenance.lines()).collect::<Vec<_>>()
    };
    match &sources[..] {
        [] => last.lines().into(),
        [(only, _)] => only.lines().into(),
        several => several.iter().flat_map(named).collect(),
    }
}

/// Gives the provenance of a file to those of its runs that have none: it was written when there was one for all.
pub fn inherit(file: &Provenance, runs: &mut [Run], failures: &mut [Failure]) {
    let made = runs.iter_mut().map(|run| &mut run.provenance);
    for provenance in made.chain(failures.iter_mut().map(|failure| &mut failure.provenance)) {
        provenance.get_or_insert_with(|| file.clone());
    }
}
