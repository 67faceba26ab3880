//! Progress on standard error: bars where a terminal draws them, and nothing or plain lines elsewhere.

use super::output::Output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Progress of a number of bytes.
#[derive(Debug, Clone)]
pub struct Bytes(ProgressBar);

impl Bytes {
    /// A bar of `total` bytes; of an unknown number for 0.
    pub fn new(output: Output, total: u64, what: &'static str) -> Self {
        let target = if output.draws() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let length = (total > 0).then_some(total);
        let bar = ProgressBar::with_draw_target(length, target).with_message(what);
        let template = match length {
            Some(_) => "{msg} {bar:30.cyan} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}",
            None => "{msg} {binary_bytes}, {binary_bytes_per_sec}",
        };
        bar.set_style(style(template));
        Self(bar)
    }

    /// Takes the bytes so far.
    pub fn callback(&self) -> impl FnMut(u64) + Send + 'static + use<> {
        let bar = self.0.clone();
        move |bytes| bar.set_position(bytes)
    }

    /// Adds bytes.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A bar of steps, such as the shards of a stage.
pub fn steps(total: u64, name: String, width: usize) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(name);
    bar.set_style(style(&format!("  {{msg:{width}}} {{bar:30.green}} {{pos}}/{{len}}")));
    bar
}

/// A line that turns while something is waited for.
pub fn spinner(text: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(text);
    bar.set_style(style("{spinner:.cyan} {msg} {elapsed}"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// The templates are fixed texts: one that does not parse gives the plain style.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}
