//! Standard output, of which a reader may have had enough: `tiergate-sim explore | head` ends quietly.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    process,
};

/// What a shell makes of an end by SIGPIPE, which Rust programs ignore.
const ENDED_BY_SIGPIPE: i32 = 128 + 13;

/// Prints, or ends the program when nobody reads any more.
///
/// # Panics
/// Standard output cannot be written for another reason.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    match io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(ENDED_BY_SIGPIPE),
        Err(error) => panic!("standard output cannot be written: {error}"),
    }
}

/// As `print!`, but a reader that is gone is no panic.
macro_rules! out {
    ($($text:tt)*) => {
        $crate::output::write(format_args!($($text)*))
    };
}

/// As `println!`, but a reader that is gone is no panic.
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
