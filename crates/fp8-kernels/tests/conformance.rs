//! The CPU's instruction sets and numbers of threads write the same bytes for every case.

use fp8_kernels::isa::Isa;
use fp8_kernels::{CpuBackend, conformance};

#[test]
fn every_instruction_set_and_number_of_threads() {
    let oracle = CpuBackend::with(Isa::available()[0], 1).unwrap();
    // AMX has an order of sums of its own.
    for isa in Isa::available().into_iter().filter(|isa| isa.to_string() != "amx") {
        let backend = CpuBackend::with(isa, 3).unwrap();
        let wrong: Vec<String> =
            conformance::cases().iter().filter_map(|case| conformance::difference(case, &backend, &oracle)).collect();
        assert!(wrong.is_empty(), "{isa}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn casts_by_every_mode() {
    let oracle = CpuBackend::with(Isa::available()[0], 1).unwrap();
    for isa in Isa::available() {
        let backend = CpuBackend::with(isa, 2).unwrap();
        assert_eq!(conformance::every_mode(&backend, &oracle, 4099).unwrap(), Vec::<String>::new(), "{isa}");
    }
}
