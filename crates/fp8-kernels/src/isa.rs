//! Which instruction set the CPU kernels run on: chosen once, logged, overridable by `FP8_ISA`.

use std::sync::OnceLock;

use crate::{Error, Result};

/// An instruction set that this CPU has.
///
/// A value is proof that the CPU has it: outside this crate one comes only from [`Isa::available`] and [`select`]
/// (hence the `non_exhaustive` variants, which cannot be built elsewhere), and inside it only from there too.
/// All of them give the same bytes, except that GEMM and convolution on [`Isa::Amx`] sum in another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// What every CPU of the target architecture has.
    #[non_exhaustive]
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    #[non_exhaustive]
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VBMI, besides all of AVX2's.
    #[non_exhaustive]
    Avx512,
    /// AMX tiles (bf16) for matrix products, AVX-512 for the rest. Never chosen by default.
    #[non_exhaustive]
    Amx,
    /// AArch64 with Advanced SIMD.
    #[non_exhaustive]
    Neon,
}

impl Isa {
    const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Amx, Self::Neon];

    /// Every instruction set of this CPU, slowest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.exists()).collect()
    }

    /// Name as in `FP8_ISA`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
            Self::Neon => "neon",
        }
    }

    /// Whether the CPU multiplies bf16 pairs (`AVX512_BF16`); a capability beside the level.
    pub fn has_avx512_bf16(self) -> bool {
        matches!(self, Self::Avx512 | Self::Amx) && x86::has_avx512_bf16()
    }

    fn exists(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Avx2 => x86::has_avx2(),
            Self::Avx512 => x86::has_avx512(),
            Self::Amx => x86::has_avx512() && x86::has_amx(),
            Self::Neon => cfg!(target_arch = "aarch64"),
        }
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The instruction set of this process: that named by the environment variable `FP8_ISA`, else the best that keeps
/// the summation order (never AMX). Detected once.
///
/// # Errors
/// [`Error::Isa`] where `FP8_ISA` names none, or one that this CPU lacks.
pub fn select() -> Result<Isa> {
    static CHOSEN: OnceLock<Result<Isa>> = OnceLock::new();
    CHOSEN
        .get_or_init(|| {
            let isa = choose(std::env::var_os("FP8_ISA").map(|name| name.to_string_lossy().into_owned()).as_deref())?;
            tracing::debug!(%isa, avx512_bf16 = isa.has_avx512_bf16(), "instruction set");
            Ok(isa)
        })
        .clone()
}

fn choose(asked: Option<&str>) -> Result<Isa> {
    let available = Isa::available();
    let found = match asked {
        None => available.iter().rev().find(|&&isa| isa != Isa::Amx),
        Some(name) => available.iter().find(|isa| isa.name() == name),
    };
    found.copied().ok_or_else(|| Error::Isa {
        asked: asked.unwrap_or_default().to_owned(),
        available: available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[cfg(target_os = "linux")]
    use std::arch::asm;
    use std::arch::is_x86_feature_detected;
    use std::arch::x86_64::__cpuid_count;
    use std::sync::OnceLock;

    pub fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
    }

    pub fn has_avx512() -> bool {
        has_avx2()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vbmi")
    }

    pub fn has_avx512_bf16() -> bool {
        is_x86_feature_detected!("avx512bf16")
    }

    /// Whether the CPU has AMX_TILE and AMX_BF16 (CPUID leaf 7: EDX bits 24 and 22) and the system lets us use them.
    pub fn has_amx() -> bool {
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        let edx = __cpuid_count(7, 0).edx;
        edx & (1 << 24) != 0 && edx & (1 << 22) != 0 && *PERMITTED.get_or_init(request_amx)
    }

    /// Asks Linux for the state of AMX tiles, which a process gets on request only.
    #[cfg(target_os = "linux")]
    fn request_amx() -> bool {
        const SYS_ARCH_PRCTL: isize = 158;
        const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
        const XFEATURE_XTILEDATA: usize = 18;
        let result: isize;
        // SAFETY: the call takes two numbers, touches no memory of ours, and clobbers what a system call clobbers.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") SYS_ARCH_PRCTL => result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn request_amx() -> bool {
        false
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod x86 {
    pub fn has_avx2() -> bool {
        false
    }

    pub fn has_avx512() -> bool {
        false
    }

    pub fn has_avx512_bf16() -> bool {
        false
    }

    pub fn has_amx() -> bool {
        false
    }
}

/// Compiles one plain-Rust function once per instruction set and dispatches on an [`Isa`] given as first argument.
///
/// The body is ordinary safe Rust: loops over slices, best in chunks of a fixed size, without intrinsics. LLVM
/// vectorises it for each instruction set; as Rust neither contracts `a * b + c` nor reassociates sums, the results are
/// the same bits everywhere by construction. A sum over a slice is therefore *not* vectorised unless it is written with
/// independent accumulators (`[f32; 16]`, say), whose order is then part of the contract. Whatever the body calls must
/// be `#[inline(always)]`, or it is compiled for the baseline only. Generic parameters `<T: Bound>` are allowed;
/// lifetimes and `const` parameters are not.
///
/// LLVM 22 makes 512-bit loops of such bodies (`codec` reaches four vector operations a cycle). What has been seen to spoil
/// them: a choice between two fields of a struct (becomes a gather: choose by masks), `as i32` of a float (saturates:
/// clamp, then `to_int_unchecked`), 32-bit products widened to 64 (keep 64-bit lanes throughout).
///
/// ```
/// use fp8_kernels::{isa::Isa, per_isa};
///
/// per_isa! {
///     /// y = max(a * x, 0).
///     fn scaled_relu(a: f32, x: &[f32], y: &mut [f32]) {
///         for (y, x) in y.iter_mut().zip(x) {
///             *y = (a * x).max(0.0);
///         }
///     }
/// }
///
/// for isa in Isa::available() {
///     let mut y = [9.0; 3];
///     scaled_relu(isa, 2.0, &[1.0, -1.0, 0.5], &mut y);
///     assert_eq!(y, [2.0, 0.0, 1.0]);
/// }
/// ```
#[macro_export]
macro_rules! per_isa {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$($generic:ident: $bound:path),+>)? ($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)?
        $body:block
    )+) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($generic: $bound),+>)? (isa: $crate::isa::Isa, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$($generic: $bound),+>)? ($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2 $(<$($generic: $bound),+>)? ($($arg: $type),*) $(-> $ret)? {
                body $(::<$($generic),+>)? ($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi")]
            fn avx512 $(<$($generic: $bound),+>)? ($($arg: $type),*) $(-> $ret)? {
                body $(::<$($generic),+>)? ($($arg),*)
            }

            match isa {
                // SAFETY: a value of `Isa` exists only where the CPU has that instruction set.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 { .. } => unsafe { avx2 $(::<$($generic),+>)? ($($arg),*) },
                // SAFETY: as above; `Amx` includes all of `Avx512`.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512 { .. } | $crate::isa::Isa::Amx { .. } => unsafe {
                    avx512 $(::<$($generic),+>)? ($($arg),*)
                },
                // Advanced SIMD is part of the AArch64 baseline.
                _ => body $(::<$($generic),+>)? ($($arg),*),
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_keeps_the_summation_order() {
        assert_ne!(choose(None).unwrap(), Isa::Amx);
        assert_eq!(choose(Some("scalar")), Ok(Isa::Scalar));
    }

    #[test]
    fn unknown_and_unavailable_names_are_errors() {
        let missing = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        for name in ["", "AVX2", "sse9", missing] {
            let error = choose(Some(name)).unwrap_err();
            assert!(error.to_string().contains("scalar"), "{error}");
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn every_instruction_set_runs() {
        per_isa! {
            fn scale<T: Into<f32>>(a: T, x: &mut [f32]) {
                let a = a.into();
                for x in x {
                    *x *= a;
                }
            }
        }
        for isa in Isa::available() {
            let mut x = [1.0, 2.0, 3.0];
            scale::<f32>(isa, 2.0, &mut x);
            assert_eq!(x, [2.0, 4.0, 6.0], "{isa}");
        }
    }
}
