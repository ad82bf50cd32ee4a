//! The two system calls that would let the outside in: what time it is, and randomness.
//!
//! See `docs/decisions/0007-simulated-time-is-tokios.md`. The linker prefers these definitions to the C library's, so that every `Instant::now()`, every new `HashMap` and every
//! UUID in the node's code, in openraft and in the runtime asks the simulation. Threads that simulate nothing get the
//! kernel's answers.

#![expect(
    unsafe_code,
    reason = "the C library's symbols are replaced, and the real calls are made by number"
)]

use std::cell::Cell;

use crate::chance::Chance;
use crate::clock;

thread_local! {
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on this thread's randomness comes from `seed`.
pub(crate) fn seed_this_thread(seed: u64) {
    RANDOM.set(Some(seed));
}

/// As the C library's.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let Some(nanos) = clock::simulated(clock == libc::CLOCK_REALTIME) else {
        // SAFETY: the caller's own arguments, unchanged, to the call that it asked for.
        let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return libc::c_int::try_from(result).unwrap_or(-1);
    };
    let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
    let rest = i64::try_from(nanos % 1_000_000_000).unwrap_or(0);
    // SAFETY: the caller gives a place for the time, as the function's contract demands.
    unsafe { time.write(libc::timespec { tv_sec: seconds, tv_nsec: rest }) };
    0
}

/// As the C library's.
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut libc::c_void, length: usize, flags: libc::c_uint) -> isize {
    let Some(seed) = RANDOM.get() else {
        // SAFETY: the caller's own arguments, unchanged, to the call that it asked for.
        let result = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(result).unwrap_or(-1);
    };
    let mut chance = Chance::new(seed);
    for at in 0..length {
        let byte = chance.next().to_le_bytes()[0];
        // SAFETY: the caller gives `length` bytes, as the function's contract demands.
        unsafe { buffer.cast::<u8>().add(at).write(byte) };
    }
    RANDOM.set(Some(chance.next()));
    isize::try_from(length).unwrap_or(-1)
}
