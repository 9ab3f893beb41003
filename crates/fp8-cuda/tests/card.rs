//! What needs a card: where there is none, these tests say so and end.

use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{Backend, CpuBackend, DType, Error, Gemm, Layout, Store, conformance};

/// The first card, if there is one.
fn card() -> Option<CudaBackend> {
    CudaBackend::new(0, Accumulation::Ordered).inspect_err(|reason| eprintln!("nothing was tested: {reason}")).ok()
}

#[test]
fn every_operation_writes_the_bytes_of_the_cpu() {
    let Some(gpu) = card() else { return };
    let cpu = CpuBackend::new().unwrap();
    let cases = conformance::cases();
    let wrong: Vec<String> = cases.iter().filter_map(|case| conformance::difference(case, &gpu, &cpu)).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn casts_by_every_mode() {
    let Some(gpu) = card() else { return };
    assert_eq!(conformance::every_mode(&gpu, &CpuBackend::new().unwrap(), 1 << 20).unwrap(), Vec::<String>::new());
}

#[test]
fn memory_is_counted_and_runs_out_with_sizes() {
    let Some(gpu) = card() else { return };
    assert_eq!(gpu.memory().held, 0);
    let (a, b) = (gpu.alloc(DType::F32, 1000).unwrap(), gpu.alloc(DType::U8, 96).unwrap());
    drop(a);
    assert_eq!((gpu.memory().held, gpu.memory().peak), (96, 4096));
    gpu.reset_peak();
    assert_eq!(gpu.memory().peak, 96);
    match gpu.alloc(DType::F32, 1 << 45) {
        Err(Error::OutOfMemory { bytes, held, .. }) => assert_eq!((bytes, held), (1 << 47, 96)),
        other => panic!("{other:?}"),
    }
    // The card is as usable as before.
    let mut c = gpu.alloc(DType::U8, 3).unwrap();
    gpu.upload(&[1, 2, 3], &mut c).unwrap();
    let mut bytes = [0; 3];
    gpu.download(&c, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3]);
    drop((b, c));
    assert_eq!(gpu.memory().held, 0);
}

#[test]
fn buffers_of_other_devices_are_refused() {
    let Some(gpu) = card() else { return };
    let cpu = CpuBackend::new().unwrap();
    let (theirs, mut ours) = (cpu.alloc(DType::F32, 4).unwrap(), gpu.alloc(DType::F32, 4).unwrap());
    assert!(matches!(gpu.cast(&theirs, 1.0, &Store::F32, &mut ours), Err(Error::Device { .. })));
    let mut theirs = theirs;
    assert!(matches!(cpu.cast(&ours, 1.0, &Store::F32, &mut theirs), Err(Error::Device { .. })));
    let other = CudaBackend::new(0, Accumulation::Ordered).unwrap();
    let mut elsewhere = other.alloc(DType::F32, 4).unwrap();
    assert!(matches!(gpu.cast(&ours, 1.0, &Store::F32, &mut elsewhere), Err(Error::Device { .. })));
    let gemm = Gemm { m: 2, n: 2, k: 3, layout: Layout::NN };
    let epilogue = fp8_kernels::Epilogue::store(Store::F32);
    let (a, b) = (gpu.alloc(DType::F32, 4).unwrap(), gpu.alloc(DType::F32, 6).unwrap());
    assert!(matches!(gpu.gemm(&gemm, &a, &b, &epilogue, &mut ours), Err(Error::Length { .. })));
}

/// Two users of one card at the same time: neither changes what the other gets.
#[test]
fn two_at_a_time() {
    if card().is_none() {
        return;
    }
    let wrong = |_| {
        let (gpu, cpu) = (card()?, CpuBackend::new().ok()?);
        let cases = conformance::cases().into_iter().filter(|case| case.name.starts_with("batch_norm"));
        cases.filter_map(|case| conformance::difference(&case, &gpu, &cpu)).reduce(|all, more| format!("{all}\n{more}"))
    };
    let users = [1, 2].map(|user| std::thread::spawn(move || wrong(user)));
    assert_eq!(users.map(|user| user.join().unwrap()), [None, None]);
}

/// Bytes go there and back whatever their number, more than once, and those asked for later are those of the moment they were asked for.
#[test]
fn bytes_come_back() {
    let Some(gpu) = card() else { return };
    let mut before: Option<(Vec<u8>, Box<dyn fp8_kernels::Later>)> = None;
    for (round, len) in
        (0..3).flat_map(|round| [0, 1, 40_000, 1 << 20, (16 << 20) + 5, (40 << 20) + 3].map(|len| (round, len)))
    {
        let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + at / 251 + round) as u8).collect();
        let mut buffer = gpu.alloc(DType::U8, len).unwrap();
        gpu.upload(&bytes, &mut buffer).unwrap();
        let later = gpu.download_later(&buffer).unwrap();
        let mut back = vec![0; len];
        gpu.download(&buffer, &mut back).unwrap();
        assert!(back == bytes, "{len} bytes");
        gpu.upload(&vec![1; len], &mut buffer).unwrap();
        drop(buffer);
        if let Some((bytes, later)) = before.replace((bytes, later)) {
            assert!(later.bytes().unwrap() == bytes, "{} bytes, later", bytes.len());
        }
    }
}
