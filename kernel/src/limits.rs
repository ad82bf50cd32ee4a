//! Every bound of the kernel in one place. Replicas must agree on them, so they are constants, not settings.

use crate::time::Millis;

/// Largest payload of one task's arguments, in bytes (the course contract promises 16 MiB).
pub const ARGS_BYTES_MAX: usize = 24 << 20;
/// Largest result of one task, in bytes.
pub const RESULT_BYTES_MAX: usize = 24 << 20;
/// Largest part of a payload that is sent in parts, in bytes: an entry stays a bounded piece of work.
pub const PART_BYTES_MAX: usize = 1 << 20;
/// Most parts of one payload.
pub const PARTS_MAX: usize = 256;
/// Largest payload that is sent in parts, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = PARTS_MAX * PART_BYTES_MAX;
/// Most payloads that are being sent in parts at a time: the sizes of their parts are kept in memory, 12 KiB at most each.
pub const PAYLOAD_UPLOADS_MAX: usize = 1024;
/// Largest code of one function, in bytes.
pub const CODE_BYTES_MAX: usize = 24 << 20;
/// Longest function name, in bytes.
pub const FUNCTION_NAME_BYTES_MAX: usize = 256;
/// Longest text (type name, message, traceback: each) kept of one error, in bytes; longer text is cut in the middle. It
/// is not refused: a failure that could not be reported would hold its task for ever.
pub const ERROR_TEXT_BYTES_MAX: usize = 64 << 10;
/// Largest pickled exception kept of one error, in bytes; a larger one is dropped, and its text stands for it.
pub const EXCEPTION_BYTES_MAX: usize = RESULT_BYTES_MAX;
/// Most output kept of each stream of one attempt, in bytes; what is longer is cut in the middle. Workers keep half of
/// it, so that theirs is not cut again.
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Most tasks in one submit. Above it, callers split; a single entry stays a bounded piece of work.
pub const SUBMIT_ITEMS_MAX: usize = 10_000;
/// Most bytes of items in one piece of a map, unless one item alone has more: an entry stays a bounded piece of work.
pub const PIECE_BYTES_MAX: usize = 1 << 20;
/// Most items that share bytes in one pack.
pub const PACK_ITEMS_MAX: u32 = 1 << 16;
/// Most pieces of one map: at a megabyte each, far more than anybody sends.
pub const MAP_PIECES_MAX: usize = 1 << 14;
/// Most items of one map.
pub const MAP_ITEMS_MAX: u32 = 100_000_000;
/// Most maps that are being uploaded at a time: their sizes are kept in memory.
pub const UPLOADS_MAX: usize = 256;
/// Most maps that live at a time: each keeps a few hundred bytes in memory.
pub const MAPS_MAX: usize = 10_000;
/// How long an upload may lie unfinished after its last piece.
pub const UPLOAD_KEPT: Millis = Millis::from_secs(600);
/// Most items of one map that live as tasks at a time, so that memory does not grow with the length of maps. With many maps
/// each has less: see [`MAPS_LIVE_MAX`].
pub const MAP_LIVE_MAX: usize = 8192;
/// Live tasks that all maps share; each may have [`MAP_LIVE_MIN`] whatever the others have.
pub const MAPS_LIVE_MAX: usize = 65_536;
/// Live tasks that every map may have.
pub const MAP_LIVE_MIN: usize = 64;
/// Most items that one entry turns into tasks.
pub const EXPANDED_PER_ENTRY_MAX: usize = 1024;
/// Most items of one map that are turned into tasks before another map has its turn.
pub const EXPANDED_AT_ONCE_MAX: usize = 256;
/// Bytes of arguments after which one entry turns no more items into tasks.
pub const EXPANDED_BYTES_MAX: usize = 4 << 20;
/// Most items of one map that can be cancelled one by one before their turn: their places are kept in memory.
pub const MAP_AHEAD_MAX: usize = 1000;
/// Most tasks handed out by one acquire.
pub const ACQUIRE_MAX: u16 = 1024;
/// Most due tasks moved by one entry; the rest wait for the next one, so that no entry is unboundedly slow.
pub const DUE_PER_ENTRY_MAX: usize = 1024;
/// Most tasks that one can depend on.
pub const DEPENDENCIES_MAX: usize = 64;
/// Most live tasks that can depend on one: all of them learn of its end in the entry that ends it.
pub const DEPENDENTS_MAX: usize = 10_000;
/// Most attempts that a retry policy may ask for.
pub const ATTEMPTS_MAX: u16 = 1000;
/// Most tags of one task or one worker.
pub const TAGS_MAX: usize = 64;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 64;
/// Most different sets of tags that live tasks may need at a time: an acquire looks at each.
pub const TAG_SETS_MAX: usize = 1000;
/// Longest key of a limit, in characters.
pub const LIMIT_KEY_CHARS_MAX: usize = 128;
/// Most limits that may be known at a time, about 400 bytes of memory each.
pub const LIMIT_KEYS_MAX: usize = 100_000;
/// Longest span of a rate limit: 31 years, as of any length of time.
pub const LIMIT_SPAN_MAX: Millis = Millis::from_secs(1_000_000_000);
/// Longest name of a schedule, in characters: with what stands in front of it, it is a key of a limit.
pub const SCHEDULE_NAME_CHARS_MAX: usize = 100;
/// Longest pattern and zone of a schedule together, in bytes.
pub const SCHEDULE_TEXT_BYTES_MAX: usize = 512;
/// Largest arguments of one schedule, in bytes: they are held in memory, on every node.
pub const SCHEDULE_ARGS_BYTES_MAX: usize = 64 << 10;
/// Largest arguments of all schedules together, in bytes.
pub const SCHEDULES_BYTES_MAX: usize = 256 << 20;
/// Most schedules, about 600 bytes of memory each.
pub const SCHEDULES_MAX: usize = 100_000;
/// Most exceptions that the rules of one task can name as final, and most bases that are looked at of one exception.
pub const EXCEPTIONS_MAX: usize = 64;
/// Longest name of one of them, in bytes.
pub const EXCEPTION_NAME_BYTES_MAX: usize = 256;
/// Highest priority; 0 is the lowest.
pub const PRIORITY_MAX: u8 = 9;
/// What a level of priority is worth: a task goes before every one that was accepted so much later, or more, at one level
/// more. So none waits for ever, and an urgent one need not wait for a backlog of hours.
pub const PRIORITY_LEVEL: Millis = Millis::from_secs(3600);
/// Priority of a task that names none.
pub const PRIORITY_DEFAULT: u8 = 5;
/// Witnessed crashes after which a task is parked (as Dask's `allowed-failures`).
pub const CRASHES_MAX: u16 = 3;
/// Lost workers after which a task is parked. Larger than [`CRASHES_MAX`]: a worker that vanished is weak evidence
/// against the task that it ran, and people who kill workers must not lose their tasks.
pub const LOSSES_MAX: u16 = 20;
/// Time that a worker has to report a missed deadline before the state machine acts itself.
pub const RUN_GRACE: Millis = Millis::from_secs(15);
/// How long a finished task is kept when its function does not say.
pub const RETENTION_DEFAULT: Millis = Millis::from_secs(24 * 3600);

const _: () = assert!(PRIORITY_DEFAULT <= PRIORITY_MAX);
const _: () = assert!(CRASHES_MAX <= LOSSES_MAX);
